// SPDX-License-Identifier: MIT
#include "vm/cache/cache_budget.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

/// A size in the syntax of the options: whole MiB, else bytes.
std::string size_text(std::uint64_t bytes) {
  return bytes % kMiB == 0 ? std::to_string(bytes / kMiB) + " MiB" : std::to_string(bytes) + " bytes";
}

/// Few values, so that a share keeps its size while the number of sharers changes a little.
std::uint64_t rounded_share(std::uint64_t bytes) {
  constexpr std::uint64_t kSteps = 64; // between a power of two and the next
  const std::uint64_t step = std::max<std::uint64_t>(std::bit_floor(bytes) / kSteps, kPageSize);
  return bytes / step * step;
}

} // namespace

CacheBudget::Share::Share(CacheBudget& budget, PageCache& cache)
    : budget_{budget}, entry_{[&] {
        const MutexLock lock{budget.mutex_};
        cache.set_limit(0);
        return budget.others_.insert(budget.others_.end(), Entry{cache});
      }()} {}

CacheBudget::Share::~Share() {
  const MutexLock lock{budget_.mutex_};
  budget_.change(entry_, false, std::nullopt);
  budget_.others_.erase(entry_);
}

void CacheBudget::Share::set_active(bool active) {
  const MutexLock lock{budget_.mutex_};
  budget_.change(entry_, active, entry_->fixed_size);
}

Result<void> CacheBudget::Share::set_fixed_size(std::optional<std::uint64_t> bytes) {
  if (bytes && *bytes != 0 && *bytes < kPageSize) {
    return fail(ErrorKind::invalid, "cache",
                "a cache of " + size_text(*bytes) + " has no room for a page; give it " +
                    std::to_string(kPageSize) + " or more, or 0 for none");
  }
  const MutexLock lock{budget_.mutex_};
  const std::uint64_t others = budget_.fixed_bytes_ - entry_->fixed_size.value_or(0); // never above the total
  if (bytes && *bytes > budget_.total_bytes_ - others) {
    return fail(ErrorKind::invalid, "cache",
                "a cache of " + size_text(*bytes) + " does not fit: all caches together may take " +
                    size_text(budget_.total_bytes_) + ", of which " + size_text(others) +
                    " are set aside for other VMs; mount with a larger --cache-size");
  }
  budget_.change(entry_, entry_->active, bytes);
  return {};
}

std::uint64_t CacheBudget::Share::limit() const {
  const MutexLock lock{budget_.mutex_};
  return entry_->limit;
}

/// Changes one share, and the limits of all that depend on it. Shrinking ones are set first, so that the sum
/// never exceeds the total.
void CacheBudget::change(Entries::iterator entry, bool active, std::optional<std::uint64_t> fixed_size) {
  fixed_bytes_ += fixed_size.value_or(0) - entry->fixed_size.value_or(0);
  active_fixed_bytes_ += (active ? fixed_size.value_or(0) : 0) - entry->active_fixed_bytes();
  Entries& from = entry->is_even() ? even_ : others_;
  entry->active = active;
  entry->fixed_size = fixed_size;
  Entries& to = entry->is_even() ? even_ : others_;
  to.splice(to.end(), from, entry);

  const std::uint64_t rest = total_bytes_ - active_fixed_bytes_;
  const std::uint64_t even = even_.empty() ? 0 : rounded_share(rest / even_.size());
  const std::uint64_t limit = entry->is_even() ? even : entry->active_fixed_bytes();
  const bool shrinks = limit < entry->limit;
  if (shrinks) {
    entry->set_limit(limit);
  }
  if (std::exchange(even_limit_, even) != even) {
    for (Entry& each : even_) {
      if (&each != &*entry) {
        each.set_limit(even);
      }
    }
  }
  if (!shrinks) {
    entry->set_limit(limit);
  }
}

} // namespace vmemfs
