// SPDX-License-Identifier: MIT
// Limits of prefetching, which follow from a VM's cache settings and the costs of its driver.
#pragma once

#include "driver/driver.h"
#include "vm/cache/cache_settings.h"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// Thread-safe. At most one way of prefetching for sequential readers into the cache is in use.
class PrefetchLimits {
public:
  /// `cache_limit`: size of the VM's page cache in bytes.
  void update(const CacheSettings& settings, const ReadCost& cost, std::uint64_t cache_limit);

  /// Max bytes to fetch together with a read; 0: none.
  [[nodiscard]] std::size_t with_read() const { return with_read_.load(std::memory_order_relaxed); }
  /// Bytes to fetch with an isolated read, that included; 0: only what was requested.
  [[nodiscard]] std::size_t block() const { return block_.load(std::memory_order_relaxed); }
  /// Max bytes to fetch by separate calls; 0: none.
  [[nodiscard]] std::size_t in_background() const { return in_background_.load(std::memory_order_relaxed); }
  /// Whether the next read may be fetched without the cache.
  [[nodiscard]] bool without_cache() const { return without_cache_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::size_t> with_read_{0};
  std::atomic<std::size_t> block_{0};
  std::atomic<std::size_t> in_background_{0};
  std::atomic<bool> without_cache_{false};
};

} // namespace vmemfs
