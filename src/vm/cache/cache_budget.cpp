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

CacheBudget::Share::Share(CacheBudget& budget, PageCache& cache)
    : budget_{budget}, entry_{[&]() -> Entry& {
        const MutexLock lock{budget.mutex_};
        cache.set_limit(0);
        return budget.entries_.emplace_back(Entry{cache});
      }()} {}

CacheBudget::Share::~Share() {
  const MutexLock lock{budget_.mutex_};
  entry_.active = false;
  budget_.share_out();
  std::erase_if(budget_.entries_, [this](const Entry& entry) { return &entry == &entry_; });
}

void CacheBudget::Share::set_active(bool active) {
  const MutexLock lock{budget_.mutex_};
  entry_.active = active;
  budget_.share_out();
}

Result<void> CacheBudget::Share::set_fixed_size(std::optional<std::uint64_t> bytes) {
  const MutexLock lock{budget_.mutex_};
  std::uint64_t others = 0; // never above the total
  for (const Entry& entry : budget_.entries_) {
    others += &entry != &entry_ ? entry.fixed_size.value_or(0) : 0;
  }
  if (bytes && *bytes > budget_.total_bytes_ - others) {
    return fail(ErrorKind::invalid, "cache",
                "a cache of " + size_text(*bytes) + " does not fit: all caches together may take " +
                    size_text(budget_.total_bytes_) + ", of which " + size_text(others) +
                    " are set aside for other VMs; mount with a larger --cache-size");
  }
  entry_.fixed_size = bytes;
  budget_.share_out();
  return {};
}

std::uint64_t CacheBudget::Share::limit() const {
  const MutexLock lock{budget_.mutex_};
  return entry_.limit;
}

/// Computes and sets the limits of all shares.
void CacheBudget::share_out() {
  std::uint64_t rest = total_bytes_;
  std::uint64_t sharers = 0;
  for (const Entry& entry : entries_) {
    rest -= entry.active ? entry.fixed_size.value_or(0) : 0;
    sharers += entry.active && !entry.fixed_size ? 1 : 0;
  }
  const std::uint64_t even = sharers > 0 ? rest / sharers / kPageSize * kPageSize : 0;
  const auto limit_of = [&](const Entry& entry) {
    return entry.active ? entry.fixed_size.value_or(even) : std::uint64_t{0};
  };
  // Shrinking shares are set first, so that the sum never exceeds the total.
  for (const bool growing : {false, true}) {
    for (Entry& entry : entries_) {
      const std::uint64_t limit = limit_of(entry);
      if (limit != entry.limit && (limit > entry.limit) == growing) {
        entry.cache.set_limit(limit);
        entry.limit = limit;
      }
    }
  }
}

} // namespace vmemfs
