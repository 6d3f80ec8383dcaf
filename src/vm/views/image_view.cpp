// SPDX-License-Identifier: MIT
#include "vm/views/image_view.h"

#include "vm/memory/memory_search.h"

#include <algorithm>
#include <vector>

namespace vmemfs {
namespace {

using Part = ImageLayout::Part;
using Source = ImageLayout::Source;

/// The piece of a part that lies in [begin, end) of the file.
Part clipped(const Part& part, std::uint64_t begin, std::uint64_t end) {
  Part piece = part;
  piece.begin = std::max(part.begin, begin);
  piece.end = std::min(part.end, end);
  piece.source_begin += piece.begin - part.begin;
  return piece;
}

GpaRange guest_range(const Part& piece) {
  return {Gpa{piece.source_begin}, Gpa{piece.source_begin + piece.size()}};
}

/// The guest's ranges in [begin, end) of the file.
void collect_ranges(std::span<const Part> parts, std::uint64_t begin, std::uint64_t end,
                    std::vector<GpaRange>& ranges) {
  ranges.clear();
  for (const Part& part : parts) {
    if (part.begin >= end) {
      break;
    }
    if (part.source == Source::guest) {
      ranges.push_back(guest_range(clipped(part, begin, end)));
    }
  }
}

/// Completes an answer that has the first `guest_bytes` of what was asked of the guest in [begin, end) of the
/// file. Returns its size: it ends where the guest's bytes do.
std::size_t insert_made(std::span<const Part> parts, std::uint64_t begin, std::uint64_t end,
                        std::size_t guest_bytes, std::span<const std::byte> made, ReadScratch& scratch) {
  std::size_t done = 0;
  for (const Part& part : parts) {
    if (part.begin >= end) {
      break;
    }
    const Part piece = clipped(part, begin, end);
    const auto size = static_cast<std::size_t>(piece.size());
    if (piece.source == Source::made) {
      scratch.insert(done, made.subspan(piece.source_begin, size));
      done += size;
      continue;
    }
    const std::size_t taken = std::min(guest_bytes, size);
    guest_bytes -= taken;
    done += taken;
    if (taken < size) {
      break;
    }
  }
  return done;
}

} // namespace

bool ImageView::has_made(std::uint64_t offset, std::size_t size) const {
  const std::uint64_t end = std::min<std::uint64_t>(layout_.size(), offset + size);
  for (const Part& part : layout_.parts_from(offset)) {
    if (part.begin >= end) {
      break;
    }
    if (part.source == Source::made) {
      return true;
    }
  }
  return false;
}

/// The guest's ranges are read by one call; the made bytes are then put between them.
tl::expected<std::size_t, ErrorKind> ImageView::read(std::uint64_t offset, std::size_t size,
                                                     std::span<const std::byte> made, ReadScratch& scratch,
                                                     ReadAhead& read_ahead) const {
  const auto all = layout_.parts_from(offset);
  const auto parts = all.first(std::min(all.size(), kMaxParts));
  const std::uint64_t room = parts.empty() ? 0 : parts.back().end - offset;
  const std::uint64_t end = offset + std::min<std::uint64_t>({size, AddressSpace::kMaxRead, room});
  collect_ranges(parts, offset, end, scratch.ranges());
  const auto from_guest = memory_.read(scratch.ranges(), HolePolicy::packed, scratch, &read_ahead);
  if (!from_guest && from_guest.error() == ErrorKind::vm_gone) {
    return from_guest;
  }
  if (!from_guest) {
    scratch.truncate(0);
  }
  const std::size_t done = insert_made(parts, offset, end, from_guest.value_or(0), made, scratch);
  if (done == 0 && end > offset) { // the source failed, or the guest has lost this memory
    return tl::unexpected{from_guest ? ErrorKind::hole : from_guest.error()};
  }
  return done;
}

tl::expected<std::uint64_t, ErrorKind> ImageView::seek(std::uint64_t offset, MemoryUse wanted) const {
  if (offset >= layout_.size()) {
    return tl::unexpected{ErrorKind::past_end};
  }
  MemorySearch search{memory_};
  for (const Part& part : layout_.parts_from(offset)) {
    const Part piece = clipped(part, offset, part.end);
    if (piece.source == Source::made) {
      if (wanted == MemoryUse::held) {
        return piece.begin;
      }
      continue;
    }
    if (const auto found = search.find_first(guest_range(piece), wanted)) {
      return piece.begin + (*found - Gpa{piece.source_begin});
    }
  }
  if (wanted == MemoryUse::held) {
    return tl::unexpected{ErrorKind::past_end};
  }
  return layout_.size();
}

} // namespace vmemfs
