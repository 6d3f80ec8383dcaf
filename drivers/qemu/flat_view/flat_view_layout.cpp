// SPDX-License-Identifier: MIT
#include "drivers/qemu/flat_view/flat_view_layout.h"

#include "core/gpa.h"
#include "drivers/qemu/flat_view/elf_symbols.h"
#include "host/proc_maps.h"
#include "host/process_memory.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <string_view>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "flatview";
constexpr std::size_t kPointer = sizeof(Hva);

tl::unexpected<Error> not_this_qemu(std::string_view why) {
  return fail(ErrorKind::unsupported, kOrigin,
              fmt::format("cannot read QEMU's memory view from its process: {}", why));
}

tl::unexpected<Error> not_ready() {
  return fail(ErrorKind::busy, kOrigin, "QEMU has not set up its memory yet");
}

struct Symbols {
  Hva address_space;
  Hva ram_list;
  std::size_t ram_list_size;
};

/// Load bias: the number to add to a linked address.
Result<std::uint64_t> load_bias(const ProcessSpace& space, const ElfFile& elf) {
  const auto exe = exe_path(space.pid());
  if (!exe) {
    return tl::unexpected{exe.error()};
  }
  const auto maps = read_maps(space);
  if (!maps) {
    return tl::unexpected{maps.error()};
  }
  const auto holds_start = [&](const Vma& vma) {
    return vma.path == *exe && vma.file_offset <= elf.first_load_offset() &&
           elf.first_load_offset() - vma.file_offset < vma.range.size();
  };
  const auto vma = std::ranges::find_if(*maps, holds_start);
  if (vma == maps->end()) {
    return not_this_qemu("its program is not mapped");
  }
  const std::uint64_t bias =
      vma->range.begin + (elf.first_load_offset() - vma->file_offset) - elf.first_load_address();
  if (!elf.is_pie() && bias != 0) {
    return not_this_qemu("its program is not mapped at its linked address");
  }
  return bias;
}

Result<Symbols> find_symbols(const ProcessSpace& space) {
  const std::string path = fmt::format("/proc/{}/exe", space.pid());
  const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) {
    const int error = errno;
    return fail_errno(error, kOrigin, fmt::format("cannot open {} ({})", path, access_remedy(space.pid())));
  }
  const auto elf = ElfFile::open(elf_fd(fd.get()));
  if (!elf) {
    return not_this_qemu(elf.error().text);
  }
  const auto address_space = elf->find_symbol("address_space_memory");
  const auto ram_list = elf->find_symbol("ram_list");
  if (!address_space || !ram_list) {
    return not_this_qemu(
        "its program has no symbol address_space_memory or ram_list (built without modules and stripped?)");
  }
  const auto bias = load_bias(space, *elf);
  if (!bias) {
    return tl::unexpected{bias.error()};
  }
  return Symbols{address_space->value + *bias, ram_list->value + *bias, ram_list->size};
}

/// The root region of guest physical memory; the address space's name is checked.
Result<Hva> find_root(const ProcessSpace& space, Hva address_space) {
  std::array<std::byte, kAddressSpaceRoot + kPointer> bytes{};
  if (auto read = read_process_memory(space, address_space, bytes); !read) {
    return tl::unexpected{read.error()};
  }
  const auto name_at = field<Hva>(bytes, kAddressSpaceName);
  const auto root = field<Hva>(bytes, kAddressSpaceRoot);
  if (name_at == 0 || root == 0) {
    return not_ready();
  }
  if (const auto name = read_qemu_string(space, name_at); !name || *name != "memory") {
    return not_this_qemu("its address space is not called memory");
  }
  return root;
}

/// The root region is named "system"; the pointer to this string gives the offset of names.
Result<std::size_t> find_region_name(const ProcessSpace& space, Hva root) {
  std::array<std::byte, 512> region{};
  const auto size = read_process_memory_prefix(space, root, region);
  if (!size) {
    return tl::unexpected{size.error()};
  }
  for (std::size_t at = 160; at + kPointer <= *size; at += kPointer) {
    const auto name = read_qemu_string(space, field<Hva>(region, at));
    if (name && *name == "system") {
      if (region[at - kRegionTerminatesBeforeName] != std::byte{0}) {
        break;
      }
      return at;
    }
  }
  return not_this_qemu("its root region is not laid out as expected");
}

/// True if a RAMBlock has its id at `at`: text, followed by zeros only.
bool is_block_id(std::span<const std::byte> block, std::size_t at) {
  const auto id = block.subspan(at, kBlockIdSize);
  const auto text = parse_qemu_string(id);
  return text && !text->empty() &&
         std::ranges::all_of(id.subspan(text->size()), [](std::byte b) { return b == std::byte{0}; });
}

/// Offset of the id in a block if the block is the first of the list whose head is at `head`: its
/// region points back to it, and its link, which follows the id, to the head.
std::optional<std::size_t> find_block_id(const ProcessSpace& space, Hva block_at, Hva head) {
  std::array<std::byte, 512> block{};
  // A block may be smaller than this, and the memory after it may not be mapped.
  if (block_at == 0 || !read_process_memory_prefix(space, block_at, block)) {
    return std::nullopt;
  }
  const auto back = read_process_value<Hva>(space, field<Hva>(block, kBlockRegion) + kRegionBlock);
  if (!back || *back != block_at) {
    return std::nullopt;
  }
  for (std::size_t at = 64; at <= 128; at += 4) {
    const std::size_t link = (at + kBlockIdSize + kPointer - 1) / kPointer * kPointer;
    if (is_block_id(block, at) && field<Hva>(block, link + kPointer) == head) {
      return at;
    }
  }
  return std::nullopt;
}

bool any_pointer(std::span<const std::byte> words) {
  for (std::size_t at = 0; at + kPointer <= words.size(); at += kPointer) {
    if (field<Hva>(words, at) >= kPageSize) {
      return true;
    }
  }
  return false;
}

/// Finds the head of the block list in ram_list. The fields before it (a mutex, the block used last) change
/// all the time; those after it change only when blocks are added or removed.
Result<void> find_block_list(const ProcessSpace& space, const Symbols& symbols, FlatViewLayout& layout) {
  std::array<std::byte, kMaxBlockList> bytes{};
  if (symbols.ram_list_size < 2 * kPointer || symbols.ram_list_size > bytes.size()) {
    return not_this_qemu("ram_list has an unexpected size");
  }
  const auto list = std::span{bytes}.first(symbols.ram_list_size);
  if (auto read = read_process_memory(space, symbols.ram_list, list); !read) {
    return tl::unexpected{read.error()};
  }
  for (std::size_t at = 0; at + kPointer <= list.size(); at += kPointer) {
    const Hva head = symbols.ram_list + at;
    if (const auto id = find_block_id(space, field<Hva>(list, at), head)) {
      layout.block_list = head;
      layout.block_list_size = list.size() - at;
      layout.block_id = *id;
      return {};
    }
  }
  if (!any_pointer(list)) {
    return not_ready();
  }
  return not_this_qemu("its list of memory blocks is not laid out as expected");
}

} // namespace

Result<std::string> parse_qemu_string(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    const char c = static_cast<char>(byte);
    if (c == '\0') {
      return text;
    }
    if (c < 0x20 || c > 0x7e) {
      break;
    }
    text += c;
  }
  return fail(ErrorKind::invalid, kOrigin, "not a string");
}

/// struct Object begins with its class, ObjectClass with its type, TypeImpl with its name.
std::string read_qemu_type(const ProcessSpace& space, Hva hva) {
  for (int step = 0; step < 3 && hva >= kPageSize; ++step) {
    hva = read_process_value<Hva>(space, hva).value_or(0);
  }
  return hva >= kPageSize ? read_qemu_string(space, hva).value_or("") : std::string{};
}

Result<std::string> read_qemu_string(const ProcessSpace& space, Hva hva) {
  std::array<std::byte, 256> bytes{};
  const auto size = read_process_memory_prefix(space, hva, bytes);
  if (!size) {
    return tl::unexpected{size.error()};
  }
  return parse_qemu_string(std::span{bytes}.first(*size));
}

Result<FlatViewLayout> locate_flat_view(const ProcessSpace& space) {
  const auto symbols = find_symbols(space);
  if (!symbols) {
    return tl::unexpected{symbols.error()};
  }
  const auto root = find_root(space, symbols->address_space);
  if (!root) {
    return tl::unexpected{root.error()};
  }
  const auto region_name = find_region_name(space, *root);
  if (!region_name) {
    return tl::unexpected{region_name.error()};
  }
  FlatViewLayout layout;
  layout.address_space = symbols->address_space;
  layout.region_name = *region_name;
  if (auto found = find_block_list(space, *symbols, layout); !found) {
    return tl::unexpected{found.error()};
  }
  return layout;
}

} // namespace vmemfs::qemu
