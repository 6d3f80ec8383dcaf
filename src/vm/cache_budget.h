// One bound for the page caches of all VMs of a mount, shared out fairly.
//
// A VM may have a size of its own; what those leave is split evenly among the other VMs that are active.
// Inactive ones have nothing, so that VMs that nobody reads cost no memory.
#pragma once

#include "core/error.h"
#include "vm/page_cache.h"

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

  /// One VM's part, and the only one to set its cache's limit. At first inactive and without a size of its
  /// own.
  class Share {
  public:
    /// `cache` must outlive the share.
    Share(CacheBudget& budget, PageCache& cache);
    ~Share(); ///< empties the cache
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    void set_active(bool active);

    /// A size that the VM has whenever it is active; nullopt: an even share. invalid where the own sizes of
    /// all VMs, active or not, would exceed the total; nothing changes then.
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
