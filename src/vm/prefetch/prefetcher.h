// SPDX-License-Identifier: MIT
// Prefetching of a VM's memory for sequential readers, by one of three strategies.
//
// | the driver's calls        | the page cache | strategy                                                   |
// |---------------------------|----------------|------------------------------------------------------------|
// | take long                 | in use         | BackgroundPrefetch: separate calls fill the cache          |
// | cost more than the pages  | in use         | PrefetchWindow: a call fetches more pages into the cache   |
// | cost as much as the reply | not in use     | SequentialPrefetch: the next read on another thread        |
//
// With long calls, an isolated read also fetches what follows it, by the same call (PrefetchWindow).
// PrefetchLimits decides between the first two. Each open file has a ReadAhead, which finds out whether it is
// read sequentially.
#pragma once

#include "vm/cache/cache_policy.h"
#include "vm/memory/memory_view.h"
#include "vm/prefetch/background_prefetch.h"
#include "vm/prefetch/read_ahead.h"
#include "vm/prefetch/sequential_prefetch.h"
#include "vm/state/attachment.h"
#include "vm/vm_jobs.h"

#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// One per VM. Thread-safe.
class Prefetcher {
public:
  /// All arguments outlive this object, and are part of the owner of the jobs.
  Prefetcher(const Attachment& attachment, MemoryView& view, CachePolicy& cache, const VmJobs& jobs)
      : attachment_{attachment}, view_{view}, cache_{cache}, background_{attachment, view, cache, jobs},
        next_read_{view, cache, jobs} {}

  /// Prefetches into the cache for a read of an open file, which ends at `end`: starts calls in the
  /// background, or adds a window to `use`.
  void add_to(CacheUse& use, ReadAhead& read_ahead, std::uint64_t end) {
    if (use.cache == nullptr) {
      return;
    }
    const PrefetchLimits& limits = cache_.prefetch_limits();
    use.window = {&read_ahead, limits.with_read(), limits.block()};
    if (const std::size_t max_bytes = limits.in_background(); max_bytes != 0) {
      background_.start(read_ahead, end, max_bytes, use.request.epoch);
    }
  }

  /// Whether read_live() is of use to a read without the cache. `read_ahead` may be null.
  [[nodiscard]] bool helps_live(const ReadAhead* read_ahead, std::size_t size) const {
    return read_ahead != nullptr && size >= SequentialPrefetch::kMinSize &&
           cache_.prefetch_limits().without_cache() && read_ahead->is_sequential() && cache_.is_stable();
  }
  /// Reads without the cache, and has the next read fetched meanwhile.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read_live(SequentialPrefetch::Request request,
                                                               ReadScratch& scratch);

  /// Releases the memory of reads that were fetched and not requested.
  void drop() { next_read_.drop(); }

private:
  const Attachment& attachment_;
  MemoryView& view_;
  CachePolicy& cache_;
  BackgroundPrefetch background_;
  SequentialPrefetch next_read_;
};

} // namespace vmemfs
