// SPDX-License-Identifier: MIT
// Memory limit for the page caches of all VMs of a mount, divided fairly.
//
// A VM may have a size of its own; the rest is divided evenly among the other active VMs. Inactive VMs get
// nothing, so that a VM that nobody reads costs no memory. Even shares are rounded down, by less than a 64th,
// so that one more VM seldom changes those of all others: a VM that comes or goes costs the same however many
// there are, taken over many of them.
#pragma once

#include "core/error.h"
#include "util/mutex.h"
#include "vm/cache/page_cache.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <utility>

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

    /// Sets the size that the VM has whenever it is active; nullopt: an even share. invalid if it is
    /// less than a page and not 0, or the fixed sizes of all VMs, active or not, would exceed the total;
    /// nothing changes then.
    [[nodiscard]] Result<void> set_fixed_size(std::optional<std::uint64_t> bytes);

    [[nodiscard]] std::uint64_t limit() const;                                        ///< bytes
    [[nodiscard]] std::uint64_t total_bytes() const { return budget_.total_bytes(); } ///< of all VMs

  private:
    CacheBudget& budget_;
    const std::list<Entry>::iterator entry_; ///< what it refers to is guarded by budget_.mutex_
  };

  [[nodiscard]] std::uint64_t total_bytes() const { return total_bytes_; }

private:
  /// What the budget knows of a share.
  struct Entry {
    PageCache& cache;
    bool active = false;
    std::optional<std::uint64_t> fixed_size{};
    std::uint64_t limit = 0;

    [[nodiscard]] bool is_even() const { return active && !fixed_size; }
    [[nodiscard]] std::uint64_t active_fixed_bytes() const { return active ? fixed_size.value_or(0) : 0; }
    void set_limit(std::uint64_t bytes) {
      if (std::exchange(limit, bytes) != bytes) {
        cache.set_limit(bytes);
      }
    }
  };
  using Entries = std::list<Entry>;

  void change(Entries::iterator entry, bool active, std::optional<std::uint64_t> fixed_size) REQUIRES(mutex_);

  const std::uint64_t total_bytes_;
  mutable Mutex mutex_;                                     ///< taken before a cache's
  Entries others_ GUARDED_BY(mutex_);                       ///< inactive, or with a size of their own
  Entries even_ GUARDED_BY(mutex_);                         ///< those with an even share
  std::uint64_t even_limit_ GUARDED_BY(mutex_) = 0;         ///< of each of them
  std::uint64_t fixed_bytes_ GUARDED_BY(mutex_) = 0;        ///< of all shares, active or not
  std::uint64_t active_fixed_bytes_ GUARDED_BY(mutex_) = 0; ///< of active ones
};

} // namespace vmemfs
