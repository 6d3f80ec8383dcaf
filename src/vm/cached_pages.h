// The part of a read that goes through the page cache.
//
// Steps, all on the reader's thread: plan() finds each page in the cache, or claims a frame for it, or finds
// that another thread is just reading it; plan_prefetch() claims some more where the file is read from front
// to back; the caller then has the driver read all claimed pages as one batch; settle() makes them available
// to others; and last, wait() collects what other threads have read. As everybody settles before waiting,
// readers never wait for each other in a circle.
#pragma once

#include "vm/epoch.h"
#include "vm/page_cache.h"
#include "vm/read_ahead.h"
#include "vm/read_scratch.h"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// How one read may use the page cache; without a cache: not at all.
struct CacheUse {
  PageCache* cache = nullptr;
  PageRequest request{};           ///< which pages still hold; loaded before the read began
  const Epoch* epoch = nullptr;    ///< what is fetched is kept only while this still is the wish's
  ReadAhead* read_ahead = nullptr; ///< of the open file; may be null
  std::size_t max_prefetch = 0;    ///< bytes; 0 where a batch of many pages is not cheap
};

/// What the cache did, in pages. For `info`.
struct CacheCounts {
  std::uint64_t hits = 0;       ///< were there
  std::uint64_t misses = 0;     ///< had to be read
  std::uint64_t merged = 0;     ///< another reader was just reading them
  std::uint64_t prefetched = 0; ///< read before anybody asked for them
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

/// One read's dealings with the cache. For one thread.
class CachedPages {
public:
  CachedPages(const CacheUse& use, ReadScratch& scratch) : use_{use}, scratch_{scratch} {
    scratch.cache_ = use.cache;
  }

  [[nodiscard]] bool used() const { return use_.cache != nullptr; }

  /// Lays out `range`, which lies in `region`. Pages that a region has only in part are read without the
  /// cache.
  void plan(const Region& region, GpaRange range);

  /// Claims pages from `from` on, up to the end of their region, if pages must be read anyway.
  void plan_prefetch(const MemoryMap& map, Gpa from);

  /// Claims the pages of `range` that nobody has or reads, up to the end of their region.
  void claim_prefetch(const MemoryMap& map, GpaRange range);

  /// The driver is through with piece `index`, whose claimed frame others may have now; `whole`: it has the
  /// page's own bytes, all of them.
  void settle(std::size_t index, bool whole);

  /// Puts in what other threads have read; what they could not is staged as new pieces.
  void wait();

  [[nodiscard]] const CacheCounts& counts() const { return counts_; }

private:
  void plan_page(Gfn gfn, GpaRange part);

  const CacheUse& use_;
  ReadScratch& scratch_;
  CacheCounts counts_;
};

} // namespace vmemfs
