// SPDX-License-Identifier: MIT
#include "linux/printk/log_buffer.h"

#include "linux/printk/log_text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

constexpr unsigned kAttempts = 3;
constexpr std::size_t kMaxStructure = 1024;

/// Addresses of the variables, and the begin of each record.
struct Layout {
  std::uint64_t buffer;
  std::uint64_t size;
  std::uint64_t first;
  std::uint64_t next;
  std::size_t record;
  std::size_t time;
  std::size_t length; ///< of the record, with text, dictionary and padding
  std::size_t text_length;
};

struct Bounds {
  std::uint32_t first;
  std::uint32_t next;
};

/// `structure`: printk_log, or log before 3.11.
std::optional<Layout> layout_of(const Vmcoreinfo& info, const std::string& structure) {
  const auto buffer = info.symbol("log_buf");
  const auto size = info.symbol("log_buf_len");
  const auto first = info.symbol("log_first_idx");
  const auto next = info.symbol("log_next_idx");
  const auto record = info.size(structure);
  const auto time = info.offset(structure + ".ts_nsec");
  const auto length = info.offset(structure + ".len");
  const auto text_length = info.offset(structure + ".text_len");
  if (!buffer || !size || !first || !next || !record || !time || !length || !text_length) {
    return std::nullopt;
  }
  const auto fits = [&](std::uint64_t offset, std::size_t bytes) { return offset + bytes <= *record; };
  if (*record > kMaxStructure || *time > kMaxStructure || *length > kMaxStructure ||
      *text_length > kMaxStructure || !fits(*time, sizeof(std::uint64_t)) ||
      !fits(*length, sizeof(std::uint16_t)) || !fits(*text_length, sizeof(std::uint16_t))) {
    return std::nullopt;
  }
  return Layout{*buffer, *size, *first, *next, *record, *time, *length, *text_length};
}

std::optional<Bounds> bounds_of(KernelMemory& memory, const Layout& layout) {
  const auto first = memory.value<std::uint32_t>(layout.first);
  const auto next = memory.value<std::uint32_t>(layout.next);
  return first && next ? std::optional{Bounds{*first, *next}} : std::nullopt;
}

/// In pieces, so that memory is not taken for a size that is not there.
std::vector<std::byte> read_buffer(KernelMemory& memory, std::uint64_t address, std::size_t size) {
  constexpr std::size_t kPiece = std::size_t{1} << 20U;
  std::vector<std::byte> bytes;
  while (bytes.size() < size) {
    const std::size_t done = bytes.size();
    const std::size_t piece = std::min(kPiece, size - done);
    bytes.resize(done + piece);
    const std::size_t read = memory.read(address + done, std::span{bytes}.subspan(done));
    if (read < piece) {
      bytes.resize(done + read);
      break;
    }
  }
  return bytes;
}

/// The records of a copy of the buffer.
class Records {
public:
  Records(const Layout& layout, std::span<const std::byte> bytes) : layout_{layout}, bytes_{bytes} {}

  /// Whether all of them could be followed to the end.
  [[nodiscard]] bool add_to(LogText& text, Bounds bounds) const {
    std::size_t at = bounds.first;
    bool wrapped = bounds.first <= bounds.next; // it is never full to the last byte
    while (at != bounds.next || !wrapped) {
      const auto length = number<std::uint16_t>(at, layout_.length);
      if (length == std::uint16_t{0} && !wrapped) { // the rest was too small for a record
        wrapped = true;
        at = 0;
        continue;
      }
      const std::size_t text_length = number<std::uint16_t>(at, layout_.text_length).value_or(0);
      if (!length || *length < layout_.record + text_length || *length > bytes_.size() - at ||
          (wrapped && at >= bounds.next) || text.is_full()) {
        return false;
      }
      text.add(number<std::uint64_t>(at, layout_.time).value_or(0),
               {reinterpret_cast<const char*>(bytes_.data()) + at + layout_.record, text_length});
      at += *length;
    }
    return true;
  }

private:
  template <typename T> [[nodiscard]] std::optional<T> number(std::size_t at, std::size_t offset) const {
    T value{};
    if (at > bytes_.size() || bytes_.size() - at < layout_.record) {
      return std::nullopt;
    }
    std::memcpy(&value, bytes_.data() + at + offset, sizeof value);
    return value;
  }

  const Layout& layout_;
  std::span<const std::byte> bytes_;
};

} // namespace

Result<std::string> buffer_log(KernelMemory& memory, const Vmcoreinfo& info) {
  auto layout = layout_of(info, "printk_log");
  if (!layout) {
    layout = layout_of(info, "log");
  }
  if (!layout) {
    return fail(ErrorKind::no_data, "linux",
                "cannot read the kernel's log: its VMCOREINFO does not have its structure");
  }
  const auto buffer = memory.value<std::uint64_t>(layout->buffer);
  const auto size = memory.value<std::uint32_t>(layout->size);
  auto bounds = bounds_of(memory, *layout);
  if (!buffer || !size || !bounds) {
    return fail(ErrorKind::no_data, "linux", "cannot read where the kernel's log is");
  }
  if (*size > LogText::kMaxBytes || bounds->first >= *size || bounds->next > *size) {
    return fail(ErrorKind::no_data, "linux", "what the kernel says of its log makes no sense");
  }
  LogText text;
  std::vector<std::byte> bytes;
  bool stable = false;
  for (unsigned attempt = 0; attempt < kAttempts && !stable; ++attempt) {
    bytes = read_buffer(memory, *buffer, *size);
    const auto after = bounds_of(memory, *layout);
    // Records before the new first one were overwritten; those after the former end may be half written.
    stable = after && after->first == bounds->first;
    if (!stable && after && after->first < *size && after->next <= *size) {
      bounds->first = after->first;
    }
  }
  if (!Records{*layout, bytes}.add_to(text, *bounds) || !stable) {
    text.add_lost(1);
  }
  return std::move(text).finish();
}

} // namespace vmemfs
