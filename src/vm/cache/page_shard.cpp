// SPDX-License-Identifier: MIT
#include "vm/cache/page_shard.h"

#include <algorithm>
#include <sys/mman.h>

namespace vmemfs {

using State = PageFrame::State;

std::unique_ptr<PageShard> PageShard::create(std::uint32_t number, std::uint32_t limit) {
  constexpr std::size_t kBytes = kShardPages * kPageSize;
  void* const memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return nullptr;
  }
  ::madvise(memory, kBytes, MADV_DONTDUMP);
  ::madvise(memory, kBytes, MADV_NOHUGEPAGE); // one page in use would occupy the space of 512
  return std::unique_ptr<PageShard>{new PageShard{number, limit, static_cast<std::byte*>(memory)}};
}

PageShard::PageShard(std::uint32_t number, std::uint32_t limit, std::byte* memory)
    : number_{number}, memory_{memory}, limit_{limit} {
  free_.reserve(kShardPages);
  for (std::uint32_t i = kShardPages; i-- > 0;) {
    frames_[i].shard = this;
    frames_[i].bytes = memory_ + i * kPageSize;
    free_.push_back(i);
  }
}

PageShard::~PageShard() { ::munmap(memory_, kShardPages * kPageSize); }

PageFrame* PageShard::wait_for(Gfn gfn, const PageRequest& request) {
  const MutexLock lock{mutex_};
  if (PageFrame* const loading = in_index(gfn);
      loading != nullptr && loading->state == State::claimed && loading->satisfies(request)) {
    // Only for this claim: a frame may be claimed again before this thread checks.
    const std::uint32_t claims = loading->claims;
    ++waiting_;
    loaded_.wait(mutex_, [&]() REQUIRES(mutex_) {
      return loading->state != State::claimed || loading->claims != claims;
    });
    --waiting_;
  }
  PageFrame* const frame = in_index(gfn);
  if (frame == nullptr || frame->state != State::published || !frame->satisfies(request)) {
    return nullptr;
  }
  frame->use(request);
  return frame;
}

void PageShard::publish(PageFrame& frame, PageStamp stamp, bool pin) {
  const MutexLock lock{mutex_};
  if (frame.state == State::condemned) {
    leave(frame, pin);
    return;
  }
  frame.epoch.store(stamp.epoch, std::memory_order_relaxed);
  frame.fetched_ns.store(stamp.fetched_ns, std::memory_order_relaxed);
  frame.state = State::published;
  add_victim(frame);
  // Not a store: a reader may just have incremented the count, and is going to decrement it again.
  frame.pins.fetch_sub(PageFrame::kBusy - (pin ? 1U : 0U), std::memory_order_release);
  wake();
}

void PageShard::abandon(PageFrame& frame, bool pin) {
  const MutexLock lock{mutex_};
  if (frame.state == State::claimed) {
    unlink(frame);
  }
  leave(frame, pin);
  wake();
}

void PageShard::clear() {
  const MutexLock lock{mutex_};
  for (PageFrame& frame : frames_) {
    if (frame.linked()) {
      drop(frame);
    } else {
      frame.returns_memory = frame.state != State::free;
    }
  }
  victims_.clear();
  return_free_memory();
}

void PageShard::resize(std::uint32_t limit, std::uint32_t count) {
  const MutexLock lock{mutex_};
  limit_ = limit;
  std::vector<PageFrame*> staying;
  for (PageFrame& frame : frames_) {
    if (!frame.linked()) {
      continue;
    }
    if (home(Gfn{frame.gfn.load(std::memory_order_relaxed)}, count) != number_) {
      drop(frame);
    } else {
      staying.push_back(&frame);
    }
  }
  const auto last_used = [](const PageFrame* frame) {
    return frame->last_used_ns.load(std::memory_order_relaxed);
  };
  // The times are copied once: readers go on changing them.
  std::vector<std::pair<std::int64_t, PageFrame*>> oldest_first;
  if (used_ > limit_) {
    for (PageFrame* const frame : staying) {
      oldest_first.emplace_back(last_used(frame), frame);
    }
    std::ranges::sort(oldest_first);
  }
  std::size_t linked = staying.size();
  // First the pages that can be evicted at once, ...
  for (const auto& [time, frame] : oldest_first) {
    if (used_ > limit_ && frame->state == State::published && frame->take()) {
      unlink(*frame);
      free(*frame);
      --linked;
    }
  }
  // ... then those that are pinned or being read.
  for (const auto& [time, frame] : oldest_first) {
    if (linked > limit_ && frame->linked()) {
      drop(*frame);
      --linked;
    }
  }
  victims_.clear();
  return_free_memory();
}

std::uint32_t PageShard::limit() const {
  const MutexLock lock{mutex_};
  return limit_;
}

PageShard::Stats PageShard::stats() const {
  const MutexLock lock{mutex_};
  return {used_, evictions_};
}

/// Frees a doomed frame after its last reader has unpinned it.
void PageShard::on_last_unpin(PageFrame& frame) {
  const MutexLock lock{mutex_};
  free_if_unpinned(frame);
}

std::uint32_t PageShard::number_of(const PageFrame& frame) const {
  return static_cast<std::uint32_t>(&frame - frames_.data());
}

PageFrame* PageShard::in_index(Gfn gfn) {
  const std::uint32_t number =
      index_.find(gfn, [&](std::uint32_t candidate) { return frames_[candidate].has_page(gfn); });
  return number != PageIndex::kNone ? &frames_[number] : nullptr;
}

ClaimedPage PageShard::claim_locked(Gfn gfn, const PageRequest& request) {
  PageFrame* frame = in_index(gfn);
  if (frame != nullptr && frame->state == State::claimed) {
    return {frame->satisfies(request) ? PageClaim::loading : PageClaim::full, nullptr};
  }
  if (frame != nullptr && frame->satisfies(request)) {
    frame->use(request);
    return {PageClaim::hit, frame};
  }
  if (frame != nullptr && !frame->take()) {
    drop(*frame); // its readers keep their bytes
    frame = nullptr;
  }
  if (frame == nullptr) {
    frame = take_frame(request.epoch);
    if (frame == nullptr) {
      return {PageClaim::full, nullptr};
    }
    frame->gfn.store(gfn.value(), std::memory_order_relaxed);
    index_.insert(gfn, number_of(*frame));
  }
  frame->state = State::claimed;
  ++frame->claims;
  frame->epoch.store(request.epoch, std::memory_order_relaxed);
  frame->fetched_ns.store(request.now_ns, std::memory_order_relaxed);
  frame->last_used_ns.store(request.now_ns, std::memory_order_relaxed);
  return {PageClaim::claimed, frame};
}

/// A busy frame that is not in the index, or nullptr if all are in use.
PageFrame* PageShard::take_frame(std::uint64_t epoch) {
  if (used_ < limit_) {
    PageFrame& frame = frames_[free_.back()];
    free_.pop_back();
    ++used_;
    return &frame;
  }
  if (used_ > limit_) {
    return nullptr; // some are still pinned
  }
  PageFrame* victim = epoch == victims_epoch_ ? next_victim() : nullptr;
  if (victim == nullptr) {
    gather_victims(epoch);
    victim = next_victim();
  }
  if (victim != nullptr) {
    unlink(*victim);
    ++evictions_;
  }
  return victim;
}

/// The first victim that nobody pins, made busy. Pinned ones stay in the list for a later attempt.
PageFrame* PageShard::next_victim() {
  for (std::size_t i = victims_.size(); i-- > 0;) {
    const auto [rank, frame] = victims_[i];
    const bool unchanged = frame->state == State::published && rank_of(*frame, victims_epoch_) == rank;
    const bool taken = unchanged && frame->take();
    if (taken || !unchanged) {
      victims_.erase(victims_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (taken) {
      return frame;
    }
  }
  return nullptr;
}

/// Scanning all frames is expensive, so it is done for many evictions at once.
void PageShard::gather_victims(std::uint64_t epoch) {
  constexpr std::ptrdiff_t kAtOnce = 64;
  victims_.clear();
  victims_epoch_ = epoch;
  for (PageFrame& frame : frames_) {
    if (frame.state == State::published) {
      victims_.push_back({rank_of(frame, epoch), &frame});
    }
  }
  const auto unpinned = [](const Victim& victim) {
    return victim.frame->pins.load(std::memory_order_relaxed) == 0;
  };
  const auto earlier = [](const Victim& a, const Victim& b) { return a.rank < b.rank; };
  const auto pinned = std::partition(victims_.begin(), victims_.end(), unpinned);
  if (pinned - victims_.begin() > kAtOnce) {
    const auto nth = victims_.begin() + kAtOnce - 1;
    std::nth_element(victims_.begin(), nth, pinned, earlier);
    // Pinned frames that rank before these also stay: they may be unpinned.
    const auto later = [rank = nth->rank](const Victim& victim) { return victim.rank >= rank; };
    victims_.erase(std::remove_if(nth + 1, victims_.end(), later), victims_.end());
  }
  std::sort(victims_.rbegin(), victims_.rend(), earlier);
}

/// A frame gets its rank when it is claimed, so it may rank among those gathered since.
void PageShard::add_victim(PageFrame& frame) {
  const Victim victim{rank_of(frame, victims_epoch_), &frame};
  const auto later = [](const Victim& a, const Victim& b) { return a.rank > b.rank; };
  if (!victims_.empty() && victim.rank < victims_.front().rank) {
    victims_.insert(std::upper_bound(victims_.begin(), victims_.end(), victim, later), victim);
  }
}

PageShard::Rank PageShard::rank_of(const PageFrame& frame, std::uint64_t epoch) {
  return {frame.epoch.load(std::memory_order_relaxed) == epoch,
          frame.last_used_ns.load(std::memory_order_relaxed)};
}

void PageShard::unlink(PageFrame& frame) {
  index_.erase(Gfn{frame.gfn.load(std::memory_order_relaxed)}, number_of(frame));
}

/// Removes a frame from the index; it is freed now or when it is unpinned, and then its memory is released.
void PageShard::drop(PageFrame& frame) {
  unlink(frame);
  if (frame.state == State::claimed) {
    frame.state = State::condemned;
    frame.returns_memory = true;
    wake();
  } else if (frame.take()) {
    free(frame);
  } else {
    frame.state = State::doomed;
    frame.returns_memory = true;
    frame.pins.fetch_or(PageFrame::kDoomed, std::memory_order_relaxed);
    free_if_unpinned(frame); // it may have been unpinned just before
  }
}

/// Releases a claimed frame that is not in the index: pinned for its holder only, or free.
void PageShard::leave(PageFrame& frame, bool pin) {
  if (pin) {
    frame.state = State::doomed;
    frame.pins.fetch_sub(PageFrame::kBusy - PageFrame::kDoomed - 1, std::memory_order_release);
  } else {
    free_and_return_memory(frame);
  }
}

void PageShard::free_if_unpinned(PageFrame& frame) {
  std::uint32_t nobody = PageFrame::kDoomed;
  if (frame.pins.compare_exchange_strong(nobody, PageFrame::kBusy, std::memory_order_acquire,
                                         std::memory_order_relaxed)) {
    free_and_return_memory(frame);
  }
}

void PageShard::free(PageFrame& frame) {
  frame.state = State::free;
  frame.returns_memory = false;
  --used_;
  free_.push_back(number_of(frame));
}

void PageShard::free_and_return_memory(PageFrame& frame) {
  if (frame.returns_memory || used_ > limit_) {
    ::madvise(frame.bytes, kPageSize, MADV_DONTNEED);
  }
  free(frame);
}

void PageShard::return_free_memory() {
  for (std::size_t begin = 0; begin < kShardPages; ++begin) {
    std::size_t end = begin;
    while (end < kShardPages && frames_[end].state == State::free) {
      ++end;
    }
    if (end > begin) {
      ::madvise(memory_ + begin * kPageSize, (end - begin) * kPageSize, MADV_DONTNEED);
      begin = end;
    }
  }
}

void PageShard::wake() {
  if (waiting_ > 0) {
    loaded_.notify_all();
  }
}

} // namespace vmemfs
