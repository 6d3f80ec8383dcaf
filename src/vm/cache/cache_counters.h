// SPDX-License-Identifier: MIT
// Statistics of a VM's page cache, in pages, for `info` and `.vmemfs/stats`.
#pragma once

#include <atomic>
#include <cstdint>

namespace vmemfs {

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

} // namespace vmemfs
