// SPDX-License-Identifier: MIT
#include "vm/cache/page_cache.h"

#include "vm/cache/page_shard.h"

#include <algorithm>
#include <bit>

namespace vmemfs {

PageCache::PageCache(std::size_t limit_bytes) { set_limit(limit_bytes); }

PageCache::~PageCache() = default;

PageCache::Frame* PageCache::find(Gfn gfn, const PageRequest& request) {
  const std::uint32_t count = count_.load(std::memory_order_acquire);
  Shard* const shard = slot(Shard::home(gfn, count)).load(std::memory_order_acquire);
  return shard != nullptr ? shard->find(gfn, request) : nullptr;
}

PageCache::Claimed PageCache::claim(Gfn gfn, const PageRequest& request) {
  for (;;) {
    const std::uint32_t count = count_.load(std::memory_order_acquire);
    const auto unchanged = [&] { return count_.load(std::memory_order_relaxed) == count; };
    const std::uint32_t number = Shard::home(gfn, count);
    Shard* shard = slot(number).load(std::memory_order_acquire);
    if (shard == nullptr) {
      shard = make_shard(number, count);
    }
    // An unchanged count under the shard's lock is enough: set_limit() changes the count before it
    // resizes the shards, and then finds frames claimed with the former count.
    if (shard != nullptr) {
      if (const auto claimed = shard->claim(gfn, request, unchanged)) {
        return *claimed;
      }
    } else if (unchanged()) {
      return {Claim::full, nullptr};
    }
  }
}

PageCache::Frame* PageCache::wait_for(Gfn gfn, const PageRequest& request) {
  const std::uint32_t count = count_.load(std::memory_order_acquire);
  Shard* const shard = slot(Shard::home(gfn, count)).load(std::memory_order_acquire);
  return shard != nullptr ? shard->wait_for(gfn, request) : nullptr;
}

void PageCache::publish(Frame* frame, PageStamp stamp, bool pin) {
  frame->shard->publish(*frame, stamp, pin);
}

void PageCache::abandon(Frame* frame, bool pin) { frame->shard->abandon(*frame, pin); }

void PageCache::unpin(Frame* frame) { frame->unpin(); }

std::span<std::byte, kPageSize> PageCache::bytes(Frame* frame) {
  return std::span<std::byte, kPageSize>{frame->bytes, kPageSize};
}

void PageCache::clear() {
  const MutexLock lock{mutex_};
  for (const auto& shard : shards_) {
    shard->clear();
  }
}

void PageCache::set_limit(std::size_t limit_bytes) {
  const MutexLock lock{mutex_};
  limit_bytes_ = limit_bytes;
  const std::size_t pages = std::min<std::size_t>(limit_bytes / kPageSize, kMaxPages);
  const std::size_t needed = std::max<std::size_t>((pages + kShardPages - 1) / kShardPages, 1);
  const auto count = static_cast<std::uint32_t>(std::bit_ceil(needed));
  for (std::size_t row = 0; row <= static_cast<std::size_t>(std::bit_width(count - 1)); ++row) {
    if (rows_[row] == nullptr) {
      rows_[row] = std::make_unique<std::atomic<Shard*>[]>(row == 0 ? 1 : std::size_t{1} << (row - 1));
    }
  }
  count_.store(count, std::memory_order_release);
  // Shrinking shards first, so that the sum never exceeds the higher of the two limits.
  const auto shrinks = [&](const auto& shard)
                           REQUIRES(mutex_) { return share_of(shard->number()) < shard->limit(); };
  const auto others = std::partition(shards_.begin(), shards_.end(), shrinks);
  const auto resize = [&](auto& shard) REQUIRES(mutex_) { shard->resize(share_of(shard->number()), count); };
  std::for_each(shards_.begin(), others, resize);
  std::for_each(others, shards_.end(), resize);
}

PageCacheStats PageCache::stats() const {
  const MutexLock lock{mutex_};
  PageCacheStats sum{0, limit_bytes_, 0};
  for (const auto& shard : shards_) {
    const Shard::Stats stats = shard->stats();
    sum.used_bytes += stats.used * kPageSize;
    sum.evictions += stats.evictions;
  }
  return sum;
}

std::atomic<PageShard*>& PageCache::slot(std::uint32_t number) const {
  const auto row = static_cast<std::size_t>(std::bit_width(number));
  return rows_[row][number - std::bit_floor(number)];
}

/// nullptr if its share is nothing, if there is no memory, or if the count has changed.
PageShard* PageCache::make_shard(std::uint32_t number, std::uint32_t count) {
  const MutexLock lock{mutex_};
  std::atomic<Shard*>& place = slot(number);
  if (place.load(std::memory_order_relaxed) == nullptr && count_.load(std::memory_order_relaxed) == count &&
      share_of(number) > 0) {
    if (auto shard = Shard::create(number, share_of(number))) {
      shards_.push_back(std::move(shard));
      place.store(shards_.back().get(), std::memory_order_release);
    }
  }
  return place.load(std::memory_order_relaxed);
}

/// Max number of pages of a shard.
std::uint32_t PageCache::share_of(std::uint32_t number) const {
  const std::size_t pages = std::min<std::size_t>(limit_bytes_ / kPageSize, kMaxPages);
  const std::uint32_t count = count_.load(std::memory_order_relaxed);
  if (number >= count) {
    return 0;
  }
  return static_cast<std::uint32_t>(pages / count + (number < pages % count ? 1 : 0));
}

} // namespace vmemfs
