// SPDX-License-Identifier: MIT
// One shard of a page cache: its frames, their memory, and their allocation.
//
// Invariant for readers without a lock: a frame's page, epoch and times change only while its `pins` has
// kBusy, and kBusy can be set only if nobody pins the frame. So a reader pins first; if the frame was not
// busy then, it does not change until the reader unpins it.
#pragma once

#include "core/gpa.h"
#include "util/mutex.h"
#include "vm/cache/page_index.h"
#include "vm/cache/page_request.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace vmemfs {

class PageShard;

/// A cache line, so that readers of different pages don't disturb each other.
struct alignas(64) PageFrame {
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
  PageShard* shard = nullptr;
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

static_assert(sizeof(PageFrame) == 64);

class PageShard {
public:
  /// nullptr if the kernel has no room for its memory.
  static std::unique_ptr<PageShard> create(std::uint32_t number, std::uint32_t limit);
  ~PageShard();
  PageShard(const PageShard&) = delete;
  PageShard& operator=(const PageShard&) = delete;

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
  [[nodiscard]] PageFrame* find(Gfn gfn, const PageRequest& request);

  /// nullopt if is_home(), called with the lock held, finds that the page belongs to another shard now.
  template <typename IsHome>
  [[nodiscard]] std::optional<ClaimedPage> claim(Gfn gfn, const PageRequest& request, const IsHome& is_home) {
    const MutexLock lock{mutex_};
    return is_home() ? std::optional{claim_locked(gfn, request)} : std::nullopt;
  }
  [[nodiscard]] PageFrame* wait_for(Gfn gfn, const PageRequest& request);
  void publish(PageFrame& frame, PageStamp stamp, bool pin);
  void abandon(PageFrame& frame, bool pin);
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
  void on_last_unpin(PageFrame& frame);

private:
  /// Eviction order: pages of other epochs first, then by last use.
  using Rank = std::pair<bool, std::int64_t>;
  struct Victim {
    Rank rank;
    PageFrame* frame;
  };

  PageShard(std::uint32_t number, std::uint32_t limit, std::byte* memory);

  // With the lock held.
  [[nodiscard]] std::uint32_t number_of(const PageFrame& frame) const;
  [[nodiscard]] PageFrame* in_index(Gfn gfn) REQUIRES(mutex_);
  [[nodiscard]] ClaimedPage claim_locked(Gfn gfn, const PageRequest& request) REQUIRES(mutex_);
  [[nodiscard]] PageFrame* take_frame(std::uint64_t epoch) REQUIRES(mutex_);
  [[nodiscard]] PageFrame* next_victim() REQUIRES(mutex_);
  [[nodiscard]] static Rank rank_of(const PageFrame& frame, std::uint64_t epoch);
  void gather_victims(std::uint64_t epoch) REQUIRES(mutex_);
  void add_victim(PageFrame& frame) REQUIRES(mutex_);
  void unlink(PageFrame& frame) REQUIRES(mutex_);
  void drop(PageFrame& frame) REQUIRES(mutex_);
  void leave(PageFrame& frame, bool pin) REQUIRES(mutex_);
  void free_if_unpinned(PageFrame& frame) REQUIRES(mutex_);
  void free(PageFrame& frame) REQUIRES(mutex_);
  void free_and_return_memory(PageFrame& frame) REQUIRES(mutex_);
  void return_free_memory() REQUIRES(mutex_);
  void wake() REQUIRES(mutex_);

  const std::uint32_t number_;
  std::byte* const memory_;
  PageIndex index_;
  std::array<PageFrame, kShardPages> frames_;

  mutable Mutex mutex_; ///< also for changes of the index
  Condition loaded_;
  std::uint32_t waiting_ GUARDED_BY(mutex_) = 0;
  std::uint32_t limit_ GUARDED_BY(mutex_);
  std::uint32_t used_ GUARDED_BY(mutex_) = 0; ///< frames that are not free
  std::uint64_t evictions_ GUARDED_BY(mutex_) = 0;
  std::vector<std::uint32_t> free_ GUARDED_BY(mutex_); ///< numbers; the last one is used first
  /// Next pages to evict, from the back. No other published frame ranks before the first one.
  std::vector<Victim> victims_ GUARDED_BY(mutex_);
  std::uint64_t victims_epoch_ GUARDED_BY(mutex_) = 0;
};

inline bool PageFrame::pin() {
  // The thread that last cleared kBusy had written all that the reader is going to read.
  if ((pins.fetch_add(1, std::memory_order_acquire) & (kBusy | kDoomed)) == 0) {
    return true;
  }
  unpin();
  return false;
}

inline void PageFrame::unpin() {
  // The thread that makes the frame busy next must see this reader's accesses as completed.
  if (pins.fetch_sub(1, std::memory_order_release) == (kDoomed | 1U)) {
    shard->on_last_unpin(*this);
  }
}

inline void PageFrame::use(const PageRequest& request) {
  pins.fetch_add(1, std::memory_order_acquire);
  last_used_ns.store(request.now_ns, std::memory_order_relaxed);
}

inline bool PageFrame::take() {
  std::uint32_t nobody = 0;
  return pins.compare_exchange_strong(nobody, kBusy, std::memory_order_acquire, std::memory_order_relaxed);
}

inline PageFrame* PageShard::find(Gfn gfn, const PageRequest& request) {
  PageFrame* found = nullptr;
  static_cast<void>(index_.find(gfn, [&](std::uint32_t number) {
    PageFrame& frame = frames_[number];
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
