// SPDX-License-Identifier: MIT
// Memory limit for the page caches of all VMs of a mount, divided fairly.
//
// A VM may have a size of its own; the rest is divided evenly among the other active VMs. Inactive VMs get
// nothing, so that a VM that nobody reads costs no memory.
#pragma once

#include "core/error.h"
#include "util/mutex.h"
#include "vm/cache/page_cache.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>

namespace vmemfs {

/// Thread-safe. Outlives its shares.
class CacheBudget {
  struct Entry;

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
    CacheBudget& budget_;
    Entry& entry_ GUARDED_BY(budget_.mutex_);
  };

  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }

private:
  /// What the budget knows of a share.
  struct Entry {
    PageCache& cache;
    bool active = false;
    std::optional<std::uint64_t> fixed_size{};
    std::uint64_t limit = 0;
  };

  void share_out() REQUIRES(mutex_);

  const std::uint64_t total_bytes_;
  mutable Mutex mutex_;                         ///< taken before a cache's
  std::list<Entry> entries_ GUARDED_BY(mutex_); ///< one for each share
};

} // namespace vmemfs
