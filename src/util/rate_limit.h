// SPDX-License-Identifier: MIT
// Rate limiter: at most one action per interval.
#pragma once

#include <atomic>
#include <chrono>

namespace vmemfs {

/// Thread-safe, without a lock.
class RateLimit {
public:
  explicit RateLimit(std::chrono::nanoseconds every) : every_{every} {}

  /// True for one caller in each interval.
  [[nodiscard]] bool allows() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    auto next = next_.load(std::memory_order_relaxed);
    return now >= next && next_.compare_exchange_strong(next, now + every_, std::memory_order_relaxed);
  }

private:
  const std::chrono::nanoseconds every_;
  std::atomic<std::chrono::nanoseconds> next_{std::chrono::nanoseconds{0}};
};

} // namespace vmemfs
