// SPDX-License-Identifier: MIT
#include "vm/memory/read_plan.h"

#include "util/zeros.h"

#include <algorithm>
#include <utility>

namespace vmemfs {
namespace {

GpaRange whole_page(Gfn gfn) { return {gfn.gpa(), gfn.gpa() + kPageSize}; }

std::span<std::byte> part_of(PageCache::Frame* frame, GpaRange part) {
  return PageCache::bytes(frame).subspan(part.begin.page_offset(), part.size());
}

} // namespace

const ReadPlan::Outcome& ReadPlan::read(const MemoryMap& map, std::span<const GpaRange> ranges,
                                        HolePolicy policy) {
  policy_ = policy;
  plan(map, ranges);
  asked_ = pending_.size();
  outcome_.asked = asked_ != 0 || scratch_.has_borrowed();
  if (asked_ != 0) {
    plan_prefetch(map, ranges.back());
    fetch();
  }
  if (!pending_.awaited().empty()) {
    collect_awaited();
    if (!pending_.empty()) {
      fetch();
    }
  }
  if (cut_ != ReadScratch::kAll) {
    scratch_.truncate(cut_);
  }
  outcome_.bytes = scratch_.size();
  return outcome_;
}

void ReadPlan::prefetch(const MemoryMap& map, GpaRange range) {
  claim_unrequested(map, range);
  if (!pending_.empty()) {
    fetch();
  }
}

// ---- planning

void ReadPlan::plan(const MemoryMap& map, std::span<const GpaRange> ranges) {
  std::size_t room = scratch_.capacity();
  for (const GpaRange& range : ranges) {
    if (range.begin >= map.ram_end()) {
      outcome_.outside = true;
      return;
    }
    const GpaRange part{range.begin, std::min({range.end, map.ram_end(), range.begin + room})};
    if (!plan_range(map, part) || part.end < range.end) {
      return;
    }
    room -= part.size();
  }
}

/// Splits the range at region borders. False: the answer ends in it.
bool ReadPlan::plan_range(const MemoryMap& map, GpaRange range) {
  for (Gpa here = range.begin; here < range.end;) {
    const MemoryMap::Stretch stretch = map.at(here);
    const GpaRange part{here, std::min(stretch.range.end, range.end)};
    if (stretch.region != nullptr) {
      plan_stretch(*stretch.region, part);
    } else {
      outcome_.outside = true;
      if (policy_ != HolePolicy::padded) {
        outcome_.failure = ErrorKind::hole;
        return false;
      }
      pad(part.size());
    }
    here = part.end;
  }
  return true;
}

/// Pages that a region contains only in part bypass the cache.
void ReadPlan::plan_stretch(const Region& region, GpaRange range) {
  if (direct_ != nullptr && borrow(range)) {
    return;
  }
  if (use_.cache == nullptr) {
    stage(range);
    return;
  }
  for (Gpa here = range.begin; here < range.end;) {
    const Gfn gfn{here};
    const GpaRange page = whole_page(gfn);
    const GpaRange part{here, std::min(page.end, range.end)};
    if (region.range.begin <= page.begin && page.end <= region.range.end) {
      plan_page(gfn, part);
    } else {
      stage(part);
    }
    here = part.end;
  }
}

void ReadPlan::plan_page(Gfn gfn, GpaRange part) {
  PageCache::Claimed page{PageCache::Claim::hit, use_.cache->find(gfn, use_.request)};
  if (page.frame == nullptr) {
    page = use_.cache->claim(gfn, use_.request);
  }
  switch (page.what) {
  case PageCache::Claim::hit:
    hit(page.frame, part);
    ++counts_.hits;
    break;
  case PageCache::Claim::claimed:
    claim(page.frame, gfn, part);
    ++counts_.misses;
    break;
  case PageCache::Claim::loading:
    await(part);
    ++counts_.merged;
    break;
  case PageCache::Claim::full:
    stage(part);
    ++counts_.misses;
    break;
  }
}

/// Adds pages that follow, because the call is made anyway.
void ReadPlan::plan_prefetch(const MemoryMap& map, const GpaRange& last) {
  if (const std::size_t bytes = use_.window.take(last.size()); bytes != 0) {
    claim_unrequested(map, {last.end, last.end + bytes});
  }
}

void ReadPlan::pad(std::size_t size) { scratch_.add(zeros().first(size)); }

bool ReadPlan::borrow(GpaRange range) {
  MemoryPin pin;
  const auto borrowed = direct_->borrow(range.begin, range.size(), pin);
  if (borrowed.empty()) {
    return false;
  }
  scratch_.add_borrowed(borrowed, std::move(pin));
  return true;
}

void ReadPlan::hit(PageCache::Frame* page, GpaRange part) {
  scratch_.keep_page(page);
  scratch_.add(part_of(page, part));
}

void ReadPlan::claim(PageCache::Frame* frame, Gfn gfn, GpaRange part) {
  pending_.add(gfn.gpa(), PageCache::bytes(frame), frame);
  scratch_.add(part_of(frame, part));
}

void ReadPlan::claim_unrequested(const MemoryMap& map, GpaRange range) {
  const auto stretch = map.at(range.begin);
  if (stretch.region == nullptr) {
    return;
  }
  const Gpa end = std::min(range.end, stretch.range.end);
  for (Gpa page{(range.begin.value() + kPageSize - 1) & ~(kPageSize - 1)}; page + kPageSize <= end;
       page = page + kPageSize) {
    const auto [claim, frame] = use_.cache->claim(Gfn{page}, use_.request);
    if (claim == PageCache::Claim::hit) {
      use_.cache->unpin(frame);
    }
    if (claim == PageCache::Claim::full) {
      return;
    }
    if (claim == PageCache::Claim::claimed) {
      pending_.add(page, PageCache::bytes(frame), frame);
      ++counts_.prefetched;
    }
  }
}

void ReadPlan::await(GpaRange part) { pending_.await({part, scratch_.add_slot(part.size())}); }

void ReadPlan::stage(GpaRange range) {
  const auto buffer = scratch_.take_staging(range.size());
  scratch_.add(buffer);
  pending_.add(range.begin, buffer);
}

// ---- carrying out

/// Has the driver read all pieces, and notes the first failure in the answer.
void ReadPlan::fetch() {
  const std::span<ReadPiece> pieces = pending_.pieces();
  driver_.read(pieces);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    ReadPiece& piece = pieces[i];
    const bool asked = i < asked_;
    const bool padded = asked && policy_ != HolePolicy::honest && read_past_bad_pages(piece);
    settle(i, !piece.failure && !padded);
    if (asked && piece.failure) {
      note_failure(piece);
    }
  }
}

void ReadPlan::note_failure(const ReadPiece& piece) {
  // The read may need only a part of a cached page.
  const std::size_t cut = scratch_.bytes_before(piece.buffer, piece.done);
  if (cut == ReadScratch::kAll) {
    return;
  }
  if (piece.failure == ErrorKind::vm_gone || (cut < cut_ && outcome_.failure != ErrorKind::vm_gone)) {
    cut_ = cut;
    outcome_.failure = piece.failure;
    outcome_.outside = outcome_.outside || piece.failure == ErrorKind::hole;
  }
}

/// Continues after each bad page of a piece; unreadable bytes become zeros. True if there was one.
bool ReadPlan::read_past_bad_pages(ReadPiece& piece) {
  bool any = false;
  while (piece.failure == ErrorKind::bad_page) {
    any = true;
    const Gpa bad = piece.gpa + piece.done;
    bad_pages_.add(Gfn{bad});
    const std::size_t skip =
        std::min<std::size_t>(kPageSize - bad.page_offset(), piece.buffer.size() - piece.done);
    std::ranges::fill(piece.buffer.subspan(piece.done, skip), std::byte{0});
    piece.done += skip;
    piece.failure.reset();
    if (piece.done < piece.buffer.size()) {
      ReadPiece rest{piece.gpa + piece.done, piece.buffer.subspan(piece.done), 0, std::nullopt};
      driver_.read({&rest, 1});
      piece.done += rest.done;
      piece.failure = rest.failure;
    }
  }
  return any;
}

/// Publishes the frame claimed for a piece, which the driver has processed. `whole`: the frame holds all
/// bytes of the page.
void ReadPlan::settle(std::size_t piece, bool whole) {
  PageCache::Frame* const frame = pending_.take_frame(piece);
  if (frame == nullptr) {
    return;
  }
  const bool pin = piece < asked_;
  if (pin) {
    scratch_.keep_page(frame);
  }
  if (whole && use_.epoch->load().number == use_.request.epoch) {
    use_.cache->publish(frame, {use_.request.epoch, use_.request.now_ns}, pin);
  } else {
    use_.cache->abandon(frame, pin);
  }
}

/// Adds the pages that other threads have read; pages that they could not read are staged as new pieces.
void ReadPlan::collect_awaited() {
  pending_.clear_pieces();
  for (const auto& [part, slot] : pending_.awaited()) {
    if (PageCache::Frame* const page = use_.cache->wait_for(Gfn{part.begin}, use_.request)) {
      scratch_.keep_page(page);
      scratch_.fill_slot(slot, part_of(page, part));
    } else {
      const auto buffer = scratch_.take_staging(part.size());
      scratch_.fill_slot(slot, buffer);
      pending_.add(part.begin, buffer);
    }
  }
  pending_.clear_awaited();
  asked_ = pending_.size();
}

} // namespace vmemfs
