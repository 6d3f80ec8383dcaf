// SPDX-License-Identifier: MIT
#include "vm/views/block_view.h"

#include "driver/block_memory.h"
#include "vm/memory/memory_search.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <utility>

namespace vmemfs {
namespace {

using Part = BlockLayout::Part;

/// A range of the block, all of it visible to the guest or all of it hidden.
struct Stretch {
  std::uint64_t end;
  const Part* part; ///< null: hidden
};

Stretch stretch_at(const BlockLayout& layout, std::uint64_t offset, std::uint64_t size) {
  const auto part = std::ranges::upper_bound(layout.parts, offset, {}, &Part::end);
  if (part == layout.parts.end()) {
    return {size, nullptr};
  }
  return part->begin <= offset ? Stretch{part->end, &*part} : Stretch{part->begin, nullptr};
}

Gpa gpa_of(const Part& part, std::uint64_t offset) { return part.gpa + (offset - part.begin); }

/// The guest's ranges in [offset, end) of the block. Empty if some of it is hidden, or lies where a read by
/// addresses ends.
void collect_ranges(const BlockLayout& layout, std::uint64_t offset, std::uint64_t end, Gpa limit,
                    std::vector<GpaRange>& ranges) {
  ranges.clear();
  constexpr std::size_t kMaxRanges = 256; // a reply to the kernel has room for some 1000 pieces
  while (offset < end) {
    const Stretch here = stretch_at(layout, offset, end);
    const std::uint64_t until = std::min(here.end, end);
    if (here.part == nullptr || gpa_of(*here.part, until) > limit || ranges.size() == kMaxRanges) {
      ranges.clear();
      return;
    }
    ranges.push_back({gpa_of(*here.part, offset), gpa_of(*here.part, until)});
    offset = until;
  }
}

tl::unexpected<Error> hidden(std::uint64_t offset) {
  return fail(ErrorKind::hole, "vm",
              fmt::format("the guest has no memory at {:#x} of the block, so nothing was written", offset));
}

} // namespace

BlockView::LayoutPtr BlockView::layout() const {
  auto map = memory_.map();
  const MutexLock lock{mutex_};
  if (map != map_) {
    auto found = block_layout(*map, name_);
    layout_ = found ? std::make_shared<const BlockLayout>(std::move(*found)) : nullptr;
    map_ = std::move(map);
  }
  return layout_;
}

std::uint64_t BlockView::size_of(const BlockLayout& layout) const {
  BlockMemory* const blocks = memory_.blocks();
  return std::max(layout.end(), blocks != nullptr ? blocks->size(layout.any).value_or(0) : 0);
}

std::uint64_t BlockView::size() const {
  const auto now = layout();
  return now != nullptr ? size_of(*now) : 0;
}

/// Never 0 for memory that is there, as of the whole memory: see LiveMemory::held_bytes().
std::uint64_t BlockView::held_bytes() const {
  const auto now = layout();
  if (now == nullptr) {
    return 0;
  }
  std::uint64_t visible = 0;
  for (const Part& part : now->parts) {
    visible += part.end - part.begin;
  }
  BlockMemory* const blocks = memory_.blocks();
  const auto held = blocks != nullptr ? blocks->held_bytes(now->any) : std::nullopt;
  const std::uint64_t all = held ? size_of(*now) : visible;
  return std::clamp(held.value_or(memory_.held_bytes()), std::min(all, kPageSize), all);
}

tl::expected<std::size_t, ErrorKind> BlockView::read(std::uint64_t offset, std::size_t size,
                                                     ReadScratch& scratch, ReadAhead& read_ahead) const {
  const auto now = layout();
  const std::uint64_t block_size = now != nullptr ? size_of(*now) : 0;
  const std::uint64_t end =
      std::min({block_size, offset + AddressSpace::kMaxRead, offset + std::uint64_t{size}});
  if (now == nullptr || offset >= end) { // past the end, but the guest may have ended
    const auto alive = memory_.read({}, HolePolicy::honest, scratch, nullptr);
    return alive && now == nullptr ? tl::unexpected{ErrorKind::hole} : alive;
  }
  std::vector<GpaRange>& ranges = scratch.ranges();
  collect_ranges(*now, offset, end, memory_.map()->ram_end(), ranges);
  return ranges.empty() ? copy(*now, offset, end, scratch)
                        : memory_.read(ranges, HolePolicy::honest, scratch, &read_ahead);
}

/// Through a buffer, piece by piece, for what a read by addresses cannot give at once.
tl::expected<std::size_t, ErrorKind> BlockView::copy(const BlockLayout& layout, std::uint64_t offset,
                                                     std::uint64_t end, ReadScratch& scratch) const {
  const auto alive = memory_.read({}, HolePolicy::honest, scratch, nullptr);
  if (!alive) {
    return alive;
  }
  scratch.clear(nullptr);
  std::size_t done = 0;
  std::optional<ErrorKind> failure;
  while (offset < end && !failure) {
    const Stretch here = stretch_at(layout, offset, end);
    const auto buffer = scratch.take_staging(static_cast<std::size_t>(std::min(here.end, end) - offset));
    std::size_t got = 0;
    if (here.part != nullptr) {
      ReadPiece piece{gpa_of(*here.part, offset), buffer, 0, std::nullopt};
      memory_.copy({&piece, 1});
      got = piece.done;
      failure = piece.failure;
    } else if (BlockMemory* const blocks = memory_.blocks()) {
      const auto read = blocks->read(layout.any, offset, buffer);
      got = read.value_or(0);
      if (got < buffer.size()) {
        failure = read ? ErrorKind::source_failed : read.error();
      }
    } else {
      failure = ErrorKind::hole;
    }
    scratch.add(buffer.first(got));
    done += got;
    offset += got;
  }
  if (failure && (done == 0 || *failure == ErrorKind::vm_gone)) {
    return tl::unexpected{*failure};
  }
  return done;
}

Result<std::size_t> BlockView::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  memory_.poll_layout();
  const auto now = layout();
  std::vector<GpaRange> ranges;
  if (now != nullptr) {
    collect_ranges(*now, offset, offset + bytes.size(), memory_.map()->ram_end(), ranges);
  }
  if (ranges.empty() && !bytes.empty()) {
    return hidden(offset);
  }
  const auto map = memory_.map();
  for (const GpaRange& range : ranges) {
    const auto stretch = map->at(range.begin);
    if (ranges.size() > 1 && (stretch.region == nullptr || !stretch.region->writable)) {
      return fail(ErrorKind::read_only, "vm", "a part of it cannot be written, so nothing was written");
    }
  }
  std::size_t done = 0;
  for (const GpaRange& range : ranges) {
    const auto size = static_cast<std::size_t>(range.size());
    const auto written = memory_.write(range.begin.value(), bytes.subspan(done, size));
    if (!written) {
      return done > 0 ? Result<std::size_t>{done} : written;
    }
    done += *written;
    if (*written < size) {
      break;
    }
  }
  return done;
}

tl::expected<std::uint64_t, ErrorKind> BlockView::seek(std::uint64_t offset, MemoryUse wanted) const {
  const auto now = layout();
  const std::uint64_t end = now != nullptr ? size_of(*now) : 0;
  if (offset >= end) {
    return tl::unexpected{ErrorKind::past_end};
  }
  MemorySearch search{memory_};
  const bool hidden_is_data = memory_.blocks() != nullptr;
  while (offset < end) {
    const Stretch here = stretch_at(*now, offset, end);
    if (here.part == nullptr) {
      if (hidden_is_data == (wanted == MemoryUse::held)) {
        return offset;
      }
    } else {
      const Gpa begin = gpa_of(*here.part, offset);
      if (const auto found = search.find_first({begin, gpa_of(*here.part, here.end)}, wanted)) {
        return offset + (*found - begin);
      }
    }
    offset = here.end;
  }
  return wanted == MemoryUse::held
             ? tl::expected<std::uint64_t, ErrorKind>{tl::unexpected{ErrorKind::past_end}}
             : end;
}

Result<UniqueFd> BlockView::open_file() const {
  const auto now = layout();
  BlockMemory* const blocks = memory_.blocks();
  if (now == nullptr || blocks == nullptr) {
    return fail(ErrorKind::unsupported, "vm", "the driver knows of no file behind it");
  }
  return blocks->open_file(now->any);
}

} // namespace vmemfs
