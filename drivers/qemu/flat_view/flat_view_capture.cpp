// SPDX-License-Identifier: MIT
#include "drivers/qemu/flat_view/flat_view_capture.h"

#include "host/process_memory.h"

#include <fmt/format.h>
#include <span>

namespace vmemfs::qemu {
namespace {

constexpr std::size_t kMaxRanges = 4096;

/// struct FlatView
struct RawView {
  std::array<std::uint64_t, 3> ignored; ///< rcu head, reference count
  Hva ranges;
  std::uint32_t count;
  std::uint32_t capacity;
  Hva dispatch;
  Hva root;
};
static_assert(sizeof(RawView) == 56);

class Hash {
public:
  void add(std::uint64_t word) {
    value_ = (value_ ^ word) * 0x9e3779b97f4a7c15U;
    value_ ^= value_ >> 32;
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

private:
  std::uint64_t value_ = 0x243f6a8885a308d3U;
};

std::vector<std::uint64_t> read_bitmaps(const ProcessSpace& space, std::span<const HvaRange> bitmaps) {
  std::vector<std::uint64_t> words;
  for (const HvaRange& bitmap : bitmaps) {
    const std::size_t before = words.size();
    words.resize(before + bitmap.size() / sizeof(std::uint64_t));
    const auto target = std::span{words}.subspan(before);
    if (!read_process_memory(space, bitmap.begin, std::as_writable_bytes(target))) {
      words.resize(before);
    }
  }
  return words;
}

} // namespace

tl::unexpected<Error> implausible(std::string_view what) {
  return fail(ErrorKind::source_failed, "flatview",
              fmt::format("QEMU's memory view is inconsistent: {}", what));
}

Result<Capture> capture_view(const ProcessSpace& space, const FlatViewLayout& layout,
                             std::span<const HvaRange> bitmaps) {
  Capture captured;
  struct {
    Hva root;
    Hva view;
  } current{};
  const auto block_list = std::span{captured.block_list}.first(layout.block_list_size);
  auto read = read_process_memory(space, layout.address_space + kAddressSpaceRoot,
                                  std::as_writable_bytes(std::span{&current, 1}));
  if (read) {
    read = read_process_memory(space, layout.block_list, block_list);
  }
  if (!read) {
    return tl::unexpected{read.error()};
  }
  const auto view = read_process_value<RawView>(space, current.view);
  if (!view) {
    return tl::unexpected{view.error()};
  }
  if (view->root != current.root || view->count > kMaxRanges || view->count > view->capacity) {
    return implausible("bad header");
  }
  captured.ranges.resize(view->count);
  if (view->count != 0) {
    read = read_process_memory(space, view->ranges, std::as_writable_bytes(std::span{captured.ranges}));
    if (!read) {
      return tl::unexpected{read.error()};
    }
  }
  captured.plugged = read_bitmaps(space, bitmaps);
  return captured;
}

std::uint64_t stamp_of(const Capture& captured, std::size_t block_list_size) {
  Hash hash;
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= block_list_size; at += sizeof(std::uint64_t)) {
    hash.add(field<std::uint64_t>(captured.block_list, at));
  }
  for (const RawRange& range : captured.ranges) {
    hash.add(range.region);
    hash.add(range.offset);
    hash.add(range.start);
    hash.add(range.size);
    hash.add((range.start_high << 32) ^ range.size_high);
    hash.add(std::uint64_t{range.romd_mode} << 8 | range.readonly);
  }
  for (const std::uint64_t word : captured.plugged) {
    hash.add(word);
  }
  return hash.value();
}

} // namespace vmemfs::qemu
