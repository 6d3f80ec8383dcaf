// SPDX-License-Identifier: MIT
#include "vm/memory/scattered_read.h"

#include <algorithm>

namespace vmemfs {

ScatteredRead::ScatteredRead(const MemoryMap& map, std::span<ReadPiece> pieces, const CacheUse& use)
    : map_{map}, pieces_{pieces}, use_{use} {
  parts_.reserve(pieces.size());
  piece_of_.reserve(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    plan(i);
  }
}

/// The result is for now that of a source that can read all of it.
void ScatteredRead::plan(std::size_t index) {
  ReadPiece& piece = pieces_[index];
  const Gpa end = map_.ram_end();
  piece.done = 0;
  piece.failure.reset();
  while (piece.done < piece.buffer.size()) {
    const Gpa here = piece.gpa + piece.done;
    if (here >= end) {
      piece.failure = ErrorKind::past_end;
      missed_ = true;
      return;
    }
    const MemoryMap::Stretch stretch = map_.at(here);
    if (stretch.region == nullptr) {
      piece.failure = ErrorKind::hole;
      missed_ = true;
      return;
    }
    const auto left = piece.buffer.subspan(piece.done);
    const auto size = std::min<std::uint64_t>(left.size(), std::min(stretch.range.end, end) - here);
    plan_stretch(index, *stretch.region, {here, here + size}, left.first(size));
    piece.done += size;
  }
}

/// Pages that a region contains only in part bypass the cache.
void ScatteredRead::plan_stretch(std::size_t index, const Region& region, GpaRange range,
                                 std::span<std::byte> into) {
  const auto add = [&](Gpa gpa, std::span<std::byte> buffer) {
    parts_.push_back({gpa, buffer, 0, std::nullopt});
    piece_of_.push_back(static_cast<std::uint32_t>(index));
  };
  if (use_.cache == nullptr) {
    add(range.begin, into);
    return;
  }
  for (Gpa here = range.begin; here < range.end;) {
    const Gpa page = here.page_start();
    const GpaRange part{here, std::min(page + kPageSize, range.end)};
    const auto buffer = into.subspan(here - range.begin, part.size());
    const bool whole = region.range.begin <= page && page + kPageSize <= region.range.end;
    if (!whole || !copy_cached(part, buffer)) {
      add(here, buffer);
      counts_.misses += whole ? 1 : 0;
    }
    here = part.end;
  }
}

bool ScatteredRead::copy_cached(GpaRange part, std::span<std::byte> into) {
  PageCache::Frame* const frame = use_.cache->find(Gfn{part.begin}, use_.request);
  if (frame == nullptr) {
    return false;
  }
  std::ranges::copy(PageCache::bytes(frame).subspan(part.begin.page_offset(), part.size()), into.begin());
  use_.cache->unpin(frame);
  ++counts_.hits;
  return true;
}

void ScatteredRead::finish() {
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const ReadPiece& part = parts_[i];
    if (!part.failure) {
      keep_page(part);
      continue;
    }
    gone_ = gone_ || part.failure == ErrorKind::vm_gone;
    missed_ = missed_ || part.failure == ErrorKind::hole || part.failure == ErrorKind::source_failed;
    ReadPiece& piece = pieces_[piece_of_[i]];
    const std::size_t done = static_cast<std::size_t>(part.buffer.data() - piece.buffer.data()) + part.done;
    if (done < piece.done) {
      piece.done = done;
      piece.failure = part.failure;
    }
  }
}

/// The page is valid since the request: another reader that claimed it meanwhile has it too.
void ScatteredRead::keep_page(const ReadPiece& part) {
  if (use_.cache == nullptr || part.buffer.size() != kPageSize || part.gpa.page_offset() != 0) {
    return;
  }
  const auto [claim, frame] = use_.cache->claim(Gfn{part.gpa}, use_.request);
  if (claim == PageCache::Claim::hit) {
    use_.cache->unpin(frame);
  }
  if (claim != PageCache::Claim::claimed) {
    return;
  }
  std::ranges::copy(part.buffer, PageCache::bytes(frame).begin());
  if (use_.epoch->load().number == use_.request.epoch) {
    use_.cache->publish(frame, {use_.request.epoch, use_.request.now_ns}, false);
  } else {
    use_.cache->abandon(frame, false);
  }
}

} // namespace vmemfs
