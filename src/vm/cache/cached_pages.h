// SPDX-License-Identifier: MIT
// Steps of a read that use the page cache.
//
// All steps run on the reader's thread: plan() finds each page in the cache, or claims a frame for it, or
// finds that another thread is reading it; plan_prefetch() claims further pages if the file is read
// sequentially; the caller then has the driver read all claimed pages as one batch; settle() publishes
// them; finally, wait() collects pages that other threads have read. Every thread settles before it waits,
// so that readers never wait for each other in a circle.
#pragma once

#include "vm/cache/page_cache.h"
#include "vm/memory/read_ahead.h"
#include "vm/memory/read_scratch.h"
#include "vm/state/epoch.h"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// Parameters of one read's use of the page cache; without a cache, it uses none.
struct CacheUse {
  PageCache* cache = nullptr;
  PageRequest request{};           ///< which pages are valid; loaded before the read began
  const Epoch* epoch = nullptr;    ///< fetched pages are kept only while this is the request's epoch
  ReadAhead* read_ahead = nullptr; ///< the open file's; may be null
  std::size_t max_prefetch = 0;    ///< bytes; 0 if a batch of many pages is not cheap
};

/// Cache statistics, in pages. For `info`.
struct CacheCounts {
  std::uint64_t hits = 0;       ///< found in the cache
  std::uint64_t misses = 0;     ///< read from the driver
  std::uint64_t merged = 0;     ///< read by another reader at the same time
  std::uint64_t prefetched = 0; ///< read before they were requested
};

/// Thread-safe.
class CacheCounters {
public:
  void add(const CacheCounts& counts);
  [[nodiscard]] CacheCounts load() const { return {hits_, misses_, merged_, prefetched_}; }

private:
  std::atomic<std::uint64_t> hits_{0};
  std::atomic<std::uint64_t> misses_{0};
  std::atomic<std::uint64_t> merged_{0};
  std::atomic<std::uint64_t> prefetched_{0};
};

/// One read's use of the cache. For one thread.
class CachedPages {
public:
  CachedPages(const CacheUse& use, ReadScratch& scratch) : use_{use}, scratch_{scratch} {
    scratch.cache_ = use.cache;
  }

  [[nodiscard]] bool used() const { return use_.cache != nullptr; }

  /// Plans the read of `range`, which lies in `region`. Pages that a region contains only in part bypass
  /// the cache.
  void plan(const Region& region, GpaRange range);

  /// Claims pages from `from` on, up to the end of their region, if other pages must be read anyway.
  void plan_prefetch(const MemoryMap& map, Gpa from);

  /// Claims the pages of `range` that are neither cached nor being read, up to the end of their region.
  void claim_prefetch(const MemoryMap& map, GpaRange range);

  /// Publishes the claimed frame of piece `index`, which the driver has processed. `whole`: the frame
  /// holds all bytes of the page.
  void settle(std::size_t index, bool whole);

  /// Adds the pages that other threads have read; pages that they could not read are staged as new
  /// pieces.
  void wait();

  [[nodiscard]] const CacheCounts& counts() const { return counts_; }

private:
  void plan_page(Gfn gfn, GpaRange part);

  const CacheUse& use_;
  ReadScratch& scratch_;
  CacheCounts counts_;
};

} // namespace vmemfs
