// SPDX-License-Identifier: MIT
// One shard of a page cache: its frames, their memory, and their allocation.
//
// Invariant for readers without a lock: a frame's page, epoch and times change only while its `pins` has
// kBusy, and kBusy can be set only if nobody pins the frame. So a reader pins first; if the frame was not
// busy then, it does not change until the reader unpins it.
#pragma once

#include "util/mutex.h"
#include "vm/cache/page_cache.h"
#include "vm/cache/page_index.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace vmemfs {

/// A cache line, so that readers of different pages don't disturb each other.
struct alignas(64) PageCache::Frame {
  enum class State : unsigned char {
    free,      ///< busy
    claimed,   ///< busy, and in the index for threads that wait for it
    condemned, ///< busy: claimed, but dropped meanwhile
    published, ///< in the index
    doomed,    ///< free as soon as nobody pins it
  };

  static constexpr std::uint32_t kBusy = 1U << 31U;   ///< in `pins`: free or claimed
  static constexpr std::uint32_t kDoomed = 1U << 30U; ///< in `pins`: the last reader to unpin frees it

  std::atomic<std::uint32_t> pins{kBusy};
  State state = State::free;   ///< these three: only under the shard's lock
  bool returns_memory = false; ///< its memory is released to the kernel when it becomes free
  std::uint32_t claims = 0;    ///< number of claims
  std::atomic<std::uint64_t> gfn{0};
  std::atomic<std::uint64_t> epoch{0};
  std::atomic<std::int64_t> fetched_ns{0}; ///< while claimed: time of the claim
  std::atomic<std::int64_t> last_used_ns{0};
  Shard* shard = nullptr;
  std::byte* bytes = nullptr;

  [[nodiscard]] bool has_page(Gfn wanted) const {
    return gfn.load(std::memory_order_relaxed) == wanted.value();
  }
  [[nodiscard]] bool satisfies(const PageRequest& request) const {
    return epoch.load(std::memory_order_relaxed) == request.epoch &&
           fetched_ns.load(std::memory_order_relaxed) >= request.oldest_ns;
  }
  /// Adds one reader; false: the frame was busy or doomed, and nothing has changed.
  [[nodiscard]] bool pin();
  void unpin();
  /// Adds one reader to a published frame; the shard's lock is held.
  void use(const PageRequest& request);
  /// Makes a published frame busy; false if it is pinned.
  [[nodiscard]] bool take();

  [[nodiscard]] bool linked() const { return state == State::claimed || state == State::published; }
};

static_assert(sizeof(PageCache::Frame) == 64);

class PageCache::Shard {
public:
  /// nullptr if the kernel has no room for its memory.
  static std::unique_ptr<Shard> create(std::uint32_t number, std::uint32_t limit);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  /// The shard, of `count`, that a page belongs to; `count` is a power of two. Eight consecutive pages
  /// share one, and any aligned run of pages is spread evenly. With half as many shards, the pages of two
  /// are merged.
  static std::uint32_t home(Gfn gfn, std::uint32_t count) {
    std::uint64_t group = gfn.value() >> 3U;
    group ^= group >> 7U;
    group ^= group >> 14U;
    group ^= group >> 28U;
    return static_cast<std::uint32_t>(group) & (count - 1);
  }

  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] Frame* find(Gfn gfn, const PageRequest& request);

  /// nullopt if is_home(), called with the lock held, finds that the page belongs to another shard now.
  template <typename IsHome>
  [[nodiscard]] std::optional<Claimed> claim(Gfn gfn, const PageRequest& request, const IsHome& is_home) {
    const MutexLock lock{mutex_};
    return is_home() ? std::optional{claim_locked(gfn, request)} : std::nullopt;
  }
  [[nodiscard]] Frame* wait_for(Gfn gfn, const PageRequest& request);
  void publish(Frame& frame, PageStamp stamp, bool pin);
  void abandon(Frame& frame, bool pin);
  void clear();

  /// Evicts pages that belong to another of `count` shards, and then pages beyond the limit.
  void resize(std::uint32_t limit, std::uint32_t count);
  [[nodiscard]] std::uint32_t limit() const;

  struct Stats {
    std::uint32_t used;
    std::uint64_t evictions;
  };
  [[nodiscard]] Stats stats() const;

  /// Frees a doomed frame; called by the reader that was the last one to unpin it.
  void on_last_unpin(Frame& frame);

private:
  /// Eviction order: pages of other epochs first, then by last use.
  using Rank = std::pair<bool, std::int64_t>;
  struct Victim {
    Rank rank;
    Frame* frame;
  };

  Shard(std::uint32_t number, std::uint32_t limit, std::byte* memory);

  // All below: with the lock held.
  [[nodiscard]] std::uint32_t number_of(const Frame& frame) const;
  [[nodiscard]] Frame* in_index(Gfn gfn);
  [[nodiscard]] Claimed claim_locked(Gfn gfn, const PageRequest& request);
  [[nodiscard]] Frame* take_frame(std::uint64_t epoch);
  [[nodiscard]] Frame* next_victim();
  [[nodiscard]] static Rank rank_of(const Frame& frame, std::uint64_t epoch);
  void gather_victims(std::uint64_t epoch);
  void add_victim(Frame& frame);
  void unlink(Frame& frame);
  void drop(Frame& frame);
  void leave(Frame& frame, bool pin);
  void free_if_unpinned(Frame& frame);
  void free(Frame& frame);
  void free_and_return_memory(Frame& frame);
  void return_free_memory();
  void wake();

  const std::uint32_t number_;
  std::byte* const memory_;
  PageIndex index_;
  std::array<Frame, kShardPages> frames_;

  mutable Mutex mutex_; ///< guards what follows, and changes of the index
  Condition loaded_;
  std::uint32_t waiting_ = 0;
  std::uint32_t limit_;
  std::uint32_t used_ = 0; ///< frames that are not free
  std::uint64_t evictions_ = 0;
  std::vector<std::uint32_t> free_; ///< numbers; the last one is used first
  /// Next pages to evict, from the back. No other published frame ranks before the first one.
  std::vector<Victim> victims_;
  std::uint64_t victims_epoch_ = 0;
};

inline bool PageCache::Frame::pin() {
  // The thread that last cleared kBusy had written all that the reader is going to read.
  if ((pins.fetch_add(1, std::memory_order_acquire) & (kBusy | kDoomed)) == 0) {
    return true;
  }
  unpin();
  return false;
}

inline void PageCache::Frame::unpin() {
  // The thread that makes the frame busy next must see this reader's accesses as completed.
  if (pins.fetch_sub(1, std::memory_order_release) == (kDoomed | 1U)) {
    shard->on_last_unpin(*this);
  }
}

inline void PageCache::Frame::use(const PageRequest& request) {
  pins.fetch_add(1, std::memory_order_acquire);
  last_used_ns.store(request.now_ns, std::memory_order_relaxed);
}

inline bool PageCache::Frame::take() {
  std::uint32_t nobody = 0;
  return pins.compare_exchange_strong(nobody, kBusy, std::memory_order_acquire, std::memory_order_relaxed);
}

inline PageCache::Frame* PageCache::Shard::find(Gfn gfn, const PageRequest& request) {
  Frame* found = nullptr;
  static_cast<void>(index_.find(gfn, [&](std::uint32_t number) {
    Frame& frame = frames_[number];
    if (!frame.pin()) {
      return false;
    }
    if (frame.has_page(gfn) && frame.satisfies(request)) {
      frame.last_used_ns.store(request.now_ns, std::memory_order_relaxed);
      found = &frame;
      return true;
    }
    frame.unpin();
    return false;
  }));
  return found;
}

} // namespace vmemfs
