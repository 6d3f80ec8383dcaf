// SPDX-License-Identifier: MIT
#include "vm/cache/cache_budget.h"

#include <algorithm>
#include <string>

namespace vmemfs {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

/// A size in the syntax of the options: whole MiB, else bytes.
std::string size_text(std::uint64_t bytes) {
  return bytes % kMiB == 0 ? std::to_string(bytes / kMiB) + " MiB" : std::to_string(bytes) + " bytes";
}

} // namespace

CacheBudget::Share::Share(CacheBudget& budget, PageCache& cache) : budget_{budget}, cache_{cache} {
  const std::scoped_lock lock{budget_.mutex_};
  cache_.set_limit(0);
  budget_.shares_.push_back(this);
}

CacheBudget::Share::~Share() {
  const std::scoped_lock lock{budget_.mutex_};
  active_ = false;
  budget_.share_out();
  std::erase(budget_.shares_, this);
}

void CacheBudget::Share::set_active(bool active) {
  const std::scoped_lock lock{budget_.mutex_};
  active_ = active;
  budget_.share_out();
}

Result<void> CacheBudget::Share::set_fixed_size(std::optional<std::uint64_t> bytes) {
  const std::scoped_lock lock{budget_.mutex_};
  std::uint64_t others = 0; // never above the total
  for (const Share* const share : budget_.shares_) {
    others += share != this ? share->fixed_size_.value_or(0) : 0;
  }
  if (bytes && *bytes > budget_.total_bytes_ - others) {
    return fail(ErrorKind::invalid, "cache",
                "a cache of " + size_text(*bytes) + " does not fit: all caches together may take " +
                    size_text(budget_.total_bytes_) + ", of which " + size_text(others) +
                    " are set aside for other VMs; mount with a larger --cache-size");
  }
  fixed_size_ = bytes;
  budget_.share_out();
  return {};
}

std::uint64_t CacheBudget::Share::limit() const {
  const std::scoped_lock lock{budget_.mutex_};
  return limit_;
}

/// Computes and sets the limits of all shares.
void CacheBudget::share_out() {
  std::uint64_t rest = total_bytes_;
  std::uint64_t sharers = 0;
  for (const Share* const share : shares_) {
    rest -= share->active_ ? share->fixed_size_.value_or(0) : 0;
    sharers += share->active_ && !share->fixed_size_ ? 1 : 0;
  }
  const std::uint64_t even = sharers > 0 ? rest / sharers / kPageSize * kPageSize : 0;
  const auto limit_of = [&](const Share& share) {
    return share.active_ ? share.fixed_size_.value_or(even) : std::uint64_t{0};
  };
  // Shrinking shares are set first, so that the sum never exceeds the total.
  for (const bool growing : {false, true}) {
    for (Share* const share : shares_) {
      const std::uint64_t limit = limit_of(*share);
      if (limit != share->limit_ && (limit > share->limit_) == growing) {
        share->cache_.set_limit(limit);
        share->limit_ = limit;
      }
    }
  }
}

} // namespace vmemfs
