// SPDX-License-Identifier: MIT
#include "vm/cache/cache_counters.h"

namespace vmemfs {

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

} // namespace vmemfs
