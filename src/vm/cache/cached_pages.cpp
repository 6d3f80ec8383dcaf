// SPDX-License-Identifier: MIT
#include "vm/cache/cached_pages.h"

#include <algorithm>

namespace vmemfs {
namespace {

GpaRange whole_page(Gfn gfn) { return {gfn.gpa(), gfn.gpa() + kPageSize}; }

std::span<std::byte> part_of(PageCache::Frame* frame, GpaRange part) {
  return PageCache::bytes(frame).subspan(part.begin.page_offset(), part.size());
}

} // namespace

void CacheCounters::add(const CacheCounts& counts) {
  const auto add_to = [](std::atomic<std::uint64_t>& counter, std::uint64_t count) {
    if (count != 0) { // to limit contention on the counters
      counter.fetch_add(count, std::memory_order_relaxed);
    }
  };
  add_to(hits_, counts.hits);
  add_to(misses_, counts.misses);
  add_to(merged_, counts.merged);
  add_to(prefetched_, counts.prefetched);
}

void CachedPages::plan(const Region& region, GpaRange range) {
  for (Gpa here = range.begin; here < range.end;) {
    const Gfn gfn{here};
    const GpaRange page = whole_page(gfn);
    const GpaRange part{here, std::min(page.end, range.end)};
    if (region.range.begin <= page.begin && page.end <= region.range.end) {
      plan_page(gfn, part);
    } else {
      scratch_.stage(part);
    }
    here = part.end;
  }
}

void CachedPages::plan_page(Gfn gfn, GpaRange part) {
  PageCache::Claimed page{PageCache::Claim::hit, use_.cache->find(gfn, use_.request)};
  if (page.frame == nullptr) {
    page = use_.cache->claim(gfn, use_.request);
  }
  switch (page.what) {
  case PageCache::Claim::hit:
    scratch_.pinned_.push_back(page.frame);
    scratch_.add(part_of(page.frame, part));
    ++counts_.hits;
    break;
  case PageCache::Claim::claimed:
    scratch_.frames_.push_back(page.frame);
    scratch_.pieces_.push_back({gfn.gpa(), PageCache::bytes(page.frame), 0, std::nullopt});
    scratch_.add(part_of(page.frame, part));
    ++counts_.misses;
    break;
  case PageCache::Claim::loading:
    scratch_.waiting_.push_back({part, scratch_.data_.size()});
    scratch_.add({});
    scratch_.data_.back().iov_len = part.size(); // the address is not known yet
    ++counts_.merged;
    break;
  case PageCache::Claim::full:
    scratch_.stage(part);
    ++counts_.misses;
    break;
  }
}

void CachedPages::plan_prefetch(const MemoryMap& map, Gpa from) {
  if (use_.read_ahead == nullptr || use_.max_prefetch == 0 || scratch_.pieces_.empty()) {
    return;
  }
  claim_prefetch(map, {from, from + std::min(use_.read_ahead->take_window(), use_.max_prefetch)});
}

void CachedPages::claim_prefetch(const MemoryMap& map, GpaRange range) {
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
    if (claim != PageCache::Claim::claimed) {
      continue;
    }
    scratch_.frames_.push_back(frame);
    scratch_.pieces_.push_back({page, PageCache::bytes(frame), 0, std::nullopt});
    ++counts_.prefetched;
  }
}

void CachedPages::settle(std::size_t index, bool whole) {
  PageCache::Frame* const frame = scratch_.frames_[index];
  if (frame == nullptr) {
    return;
  }
  const bool pin = index < scratch_.asked_pieces_;
  if (pin) {
    scratch_.pinned_.push_back(frame);
  }
  scratch_.frames_[index] = nullptr;
  if (whole && use_.epoch->load().number == use_.request.epoch) {
    use_.cache->publish(frame, {use_.request.epoch, use_.request.now_ns}, pin);
  } else {
    use_.cache->abandon(frame, pin);
  }
}

void CachedPages::wait() {
  scratch_.pieces_.clear();
  scratch_.frames_.clear();
  for (const auto& [part, index] : scratch_.waiting_) {
    PageCache::Frame* const frame = use_.cache->wait_for(Gfn{part.begin}, use_.request);
    if (frame != nullptr) {
      scratch_.pinned_.push_back(frame);
      scratch_.data_[index].iov_base = part_of(frame, part).data();
    } else {
      const auto buffer = scratch_.staging_.subspan(scratch_.staged_, part.size());
      scratch_.staged_ += buffer.size();
      scratch_.data_[index].iov_base = buffer.data();
      scratch_.pieces_.push_back({part.begin, buffer, 0, std::nullopt});
      scratch_.frames_.push_back(nullptr);
    }
  }
  scratch_.waiting_.clear();
  scratch_.asked_pieces_ = scratch_.pieces_.size();
}

} // namespace vmemfs
