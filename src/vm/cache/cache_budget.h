// SPDX-License-Identifier: MIT
// Memory limit for the page caches of all VMs of a mount, divided fairly.
//
// A VM may have a size of its own; the rest is divided evenly among the other active VMs. Inactive VMs get
// nothing, so that a VM that nobody reads costs no memory.
#pragma once

#include "core/error.h"
#include "vm/cache/page_cache.h"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

namespace vmemfs {

/// Thread-safe. Outlives its shares.
class CacheBudget {
public:
  explicit CacheBudget(std::uint64_t total_bytes) : total_bytes_{total_bytes} {}
  CacheBudget(const CacheBudget&) = delete;
  CacheBudget& operator=(const CacheBudget&) = delete;
  ~CacheBudget() = default;

  /// One VM's part; the only object that sets the limit of the VM's cache. Initially inactive and without
  /// a size of its own.
  class Share {
  public:
    /// `cache` must outlive the share.
    Share(CacheBudget& budget, PageCache& cache);
    ~Share(); ///< empties the cache
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    void set_active(bool active);

    /// Sets the size that the VM has whenever it is active; nullopt: an even share. invalid if the
    /// fixed sizes of all VMs, active or not, would exceed the total; nothing changes then.
    [[nodiscard]] Result<void> set_fixed_size(std::optional<std::uint64_t> bytes);

    [[nodiscard]] std::uint64_t limit() const; ///< bytes

  private:
    friend class CacheBudget;

    CacheBudget& budget_;
    PageCache& cache_;
    // Under the budget's lock:
    bool active_ = false;
    std::optional<std::uint64_t> fixed_size_;
    std::uint64_t limit_ = 0;
  };

  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }

private:
  void share_out();

  const std::uint64_t total_bytes_;
  mutable std::mutex mutex_; ///< guards what follows, and the shares; taken before a cache's
  std::vector<Share*> shares_;
};

} // namespace vmemfs
