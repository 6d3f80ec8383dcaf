// SPDX-License-Identifier: MIT
#include "vm/cache/cache_policy.h"

#include <utility>

namespace vmemfs {
namespace {

/// Approximate cost of a FUSE reply: a page that costs less is not worth caching.
constexpr std::chrono::microseconds kWorthCaching{20};

} // namespace

CachePolicy::CachePolicy(Driver& driver, Coherence& coherence, VmEvents& events, CacheBudget& budget,
                         const CacheSettings& settings)
    : driver_{driver}, coherence_{coherence}, events_{events}, share_{budget, pages_}, settings_{settings} {
  apply();
}

Result<void> CachePolicy::change(const std::function<void(CacheSettings&)>& change) {
  const MutexLock one{change_mutex_};
  const CacheMode kernel = kernel_mode();
  CacheSettings changed = settings();
  change(changed);
  if (auto sized = share_.set_fixed_size(changed.size); !sized) {
    return events_.noted(std::move(sized));
  }
  {
    const MutexLock lock{settings_mutex_};
    settings_ = changed;
  }
  apply();
  if (kernel_mode() != kernel) {
    coherence_.flush(); // what the kernel has was kept by another rule
  }
  return {};
}

CacheSettings CachePolicy::settings() const {
  const MutexLock lock{settings_mutex_};
  return settings_;
}

std::string CachePolicy::no_room_reason() const {
  if (share_.limit() >= kPageSize) {
    return {};
  }
  if (settings().size) { // 0, as less than a page is refused
    return "its size is 0; `echo cache size=share > control` gives it its share of --cache-size";
  }
  return share_.total_bytes() < kPageSize
             ? "there is no memory for caches; mount with a larger --cache-size"
             : "other VMs have all memory for caches; mount with a larger --cache-size";
}

void CachePolicy::apply() {
  const CacheSettings now = settings();
  const ReadCost cost = driver_.read_cost();
  const bool worth_it = now.mode == CacheMode::on ||
                        (now.mode == CacheMode::automatic && cost.call + cost.page >= kWorthCaching);
  share_.set_active(worth_it);
  prefetch_limits_.update(now, cost, share_.limit());
  kernel_ = now.kernel;
  ttl_ns_ = now.ttl / std::chrono::nanoseconds{1};
  in_use_ = worth_it;
}

CacheUse CachePolicy::use_now() {
  return use(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1});
}

} // namespace vmemfs
