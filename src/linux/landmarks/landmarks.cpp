// SPDX-License-Identifier: MIT
#include "linux/landmarks/landmarks.h"

#include "linux/landmarks/image_search.h"
#include "linux/structures/kernel_string.h"
#include "linux/structures/structure_copy.h"
#include "util/work_limit.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fmt/format.h>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

/// A text of one line with its newline.
bool is_line(std::string_view text) {
  return text.ends_with('\n') &&
         std::ranges::all_of(text.substr(0, text.size() - 1), [](char c) { return c >= ' ' && c <= '~'; });
}

/// The header of a BTF; see Documentation/bpf/btf.rst of the kernel.
struct BtfHeader {
  std::uint16_t magic;
  std::uint8_t version;
  std::uint8_t flags;
  std::uint32_t header_bytes;
  std::uint32_t types_offset;
  std::uint32_t types_bytes;
  std::uint32_t names_offset;
  std::uint32_t names_bytes;
};
/// Its first three members, as kernels have them.
constexpr std::string_view kBtfBegin{"\x9f\xeb\x01\x00\x18\x00\x00\x00", 8};
static_assert(sizeof(BtfHeader) == 0x18);

/// Of all of it; nullopt: the header makes no sense.
std::optional<std::size_t> btf_bytes(const BtfHeader& header) {
  constexpr std::uint64_t kMaxBtf = std::uint64_t{16} << 20U;
  const std::uint64_t bytes = sizeof header + std::uint64_t{header.types_bytes} + header.names_bytes;
  const bool fits = header.types_offset == 0 && header.names_offset == header.types_bytes;
  return fits && bytes <= kMaxBtf ? std::optional<std::size_t>{bytes} : std::nullopt;
}

/// nullptr: there is no BTF of a kernel.
std::shared_ptr<const btf::Types> types_at(KernelMemory& memory, std::uint64_t address, std::size_t size) {
  std::vector<std::byte> bytes(size);
  if (memory.read(address, bytes) != size) {
    return nullptr;
  }
  auto types = btf::Types::parse(std::move(bytes)).value_or(nullptr);
  return types != nullptr && types->field("task_struct", "tasks.next") ? types : nullptr;
}

bool is_idle_task(KernelMemory& memory, const TaskLayout& layout, std::uint64_t address) {
  const auto task = StructureCopy::read(memory, address, layout.size);
  return task && task->number<std::uint32_t>(layout.pid) == 0 &&
         task->number<std::uint32_t>(layout.tgid) == 0 && task->pointer(layout.real_parent) == address &&
         task->pointer(layout.group_leader) == address && task->pointer(layout.mm) == 0;
}

} // namespace

bool names_data(const KernelSymbols& symbols) {
  return symbols.find("init_task").has_value() || symbols.find("linux_banner").has_value();
}

std::optional<std::uint64_t> find_banner(KernelMemory& memory, KernelImageRange image,
                                         const SystemNames& names) {
  constexpr std::size_t kMaxBanner = 1024;
  std::optional<std::uint64_t> banner;
  for_each_place(memory, image, fmt::format("Linux version {} ", names.release), [&](std::uint64_t address) {
    const auto text = kernel_string(memory, address, kMaxBanner);
    if (text && is_line(*text) && text->ends_with(fmt::format(" {}\n", names.version))) {
      banner = address;
    }
    return banner.has_value();
  });
  return banner;
}

Result<std::shared_ptr<const btf::Types>> find_types(KernelMemory& memory, KernelImageRange image) {
  constexpr unsigned kMaxParsed = 8;
  constexpr std::uint64_t kAlignment = 4;
  std::shared_ptr<const btf::Types> types;
  unsigned parsed = 0;
  for_each_place(memory, image, kBtfBegin, [&](std::uint64_t address) {
    const auto header = address % kAlignment == 0 ? memory.value<BtfHeader>(address) : std::nullopt;
    const auto size = header ? btf_bytes(*header) : std::nullopt;
    if (size) {
      types = types_at(memory, address, *size);
      ++parsed;
    }
    return types != nullptr || parsed == kMaxParsed;
  });
  if (types != nullptr) {
    return types;
  }
  if (WorkLimit::over()) {
    return WorkLimit::exceeded("linux");
  }
  return fail(ErrorKind::no_data, "linux",
              "the kernel's image has no types; was it built without CONFIG_DEBUG_INFO_BTF?");
}

std::optional<std::uint64_t> find_idle_task(KernelMemory& memory, KernelImageRange image,
                                            const TaskLayout& layout) {
  using namespace std::string_view_literals;
  for (const std::string_view name : {"swapper/0\0"sv, "swapper\0"sv}) { // with several CPUs, and with one
    std::optional<std::uint64_t> idle_task;
    bool several = false;
    for_each_place(memory, image, name, [&](std::uint64_t place) {
      if (is_idle_task(memory, layout, place - layout.comm)) {
        several = idle_task.has_value();
        idle_task = place - layout.comm;
      }
      return several;
    });
    if (idle_task) {
      return several ? std::nullopt : idle_task;
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> find_pointer(KernelMemory& memory, KernelImageRange image,
                                          std::uint64_t target) {
  std::string bytes(sizeof target, '\0');
  std::memcpy(bytes.data(), &target, sizeof target);
  std::optional<std::uint64_t> pointer;
  for_each_place(memory, image, bytes, [&](std::uint64_t address) {
    if (address % sizeof target == 0) {
      pointer = address;
    }
    return pointer.has_value();
  });
  return pointer;
}

} // namespace vmemfs
