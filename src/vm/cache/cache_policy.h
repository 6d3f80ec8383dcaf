// SPDX-License-Identifier: MIT
// Page cache of a VM with its settings: whether it is in use, and which pages a read may take from it.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "util/mutex.h"
#include "vm/cache/cache_budget.h"
#include "vm/cache/cache_counters.h"
#include "vm/cache/cache_settings.h"
#include "vm/cache/page_cache.h"
#include "vm/memory/cache_use.h"
#include "vm/prefetch/prefetch_limits.h"
#include "vm/state/coherence.h"
#include "vm/vm_events.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

namespace vmemfs {

/// Thread-safe. If the cache is not in use, every read goes to the driver.
class CachePolicy {
public:
  /// References outlive this object. `settings` has no size.
  CachePolicy(Driver& driver, Coherence& coherence, VmEvents& events, CacheBudget& budget,
              const CacheSettings& settings);

  [[nodiscard]] CacheSettings settings() const EXCLUDES(settings_mutex_);
  /// invalid: the size does not fit; nothing changes then. Failures are reported.
  [[nodiscard]] Result<void> change(const std::function<void(CacheSettings&)>& change);
  [[nodiscard]] bool in_use() const { return in_use_.load(std::memory_order_relaxed); }
  /// Why the cache keeps no page although it is in use, and the remedy: it has no room for one. Empty: it
  /// has.
  [[nodiscard]] std::string no_room_reason() const EXCLUDES(settings_mutex_);
  [[nodiscard]] CacheMode kernel_mode() const { return kernel_.load(std::memory_order_relaxed); }
  [[nodiscard]] PageCacheStats stats() const { return pages_.stats(); }
  [[nodiscard]] CacheCounts counts() const { return counters_.load(); }
  /// Number of the epoch, in which pages are valid.
  [[nodiscard]] std::uint64_t epoch() const { return coherence_.epoch().load().number; }
  /// Declares all cached pages stale and drops them, also those that were prefetched and the kernel's. May
  /// block, as Coherence::flush().
  void flush() { coherence_.flush(); }

  // For reads.

  /// The pages that a read that begins now may take from the cache, and may add; none if memory may change
  /// and has no TTL. `now_ns`: now, on the steady clock.
  [[nodiscard]] CacheUse use(std::int64_t now_ns) {
    const Epoch::Value epoch = poll_epoch();
    std::int64_t oldest = std::numeric_limits<std::int64_t>::min();
    if (!epoch.stable) {
      const std::int64_t ttl = ttl_ns_.load(std::memory_order_relaxed);
      if (ttl == 0) {
        return {};
      }
      oldest = now_ns - ttl;
    }
    return {&pages_, {epoch.number, oldest, now_ns}, &coherence_.epoch(), &counters_, {}};
  }
  [[nodiscard]] CacheUse use_now();
  /// Polls the run state, if that is cheap, and loads the epoch.
  [[nodiscard]] Epoch::Value poll_epoch() {
    driver_.poll_run_state();
    return coherence_.epoch().load();
  }
  /// Whether memory was stable when it was last checked.
  [[nodiscard]] bool is_stable() const { return coherence_.epoch().load().stable; }
  [[nodiscard]] const PrefetchLimits& prefetch_limits() const { return prefetch_limits_; }

  /// Pages were fetched without this cache before they were requested.
  void note_prefetched(std::uint64_t pages) {
    CacheCounts counts;
    counts.prefetched = pages;
    counters_.add(counts);
  }

  /// Drops the pages, which are stale: part of Coherence's drop.
  void drop_pages() { pages_.clear(); }

private:
  void apply() REQUIRES(change_mutex_) EXCLUDES(settings_mutex_);

  Driver& driver_;
  Coherence& coherence_;
  VmEvents& events_;
  PageCache pages_{0};
  CacheBudget::Share share_;
  CacheCounters counters_;
  PrefetchLimits prefetch_limits_;
  std::atomic<bool> in_use_{false};
  std::atomic<CacheMode> kernel_{CacheMode::automatic};
  std::atomic<std::int64_t> ttl_ns_{0};
  Mutex change_mutex_ ACQUIRED_BEFORE(settings_mutex_); ///< one change of the settings at a time
  mutable Mutex settings_mutex_;                        ///< leaf
  CacheSettings settings_ GUARDED_BY(settings_mutex_);
};

} // namespace vmemfs
