// SPDX-License-Identifier: MIT
// Limit of reports that strangers can cause, with a count of those that were left out.
#pragma once

#include <chrono>
#include <cstddef>

namespace vmemfs {

/// Not thread-safe.
class ReportLimit {
public:
  using Clock = std::chrono::steady_clock;

  /// At most `max` reports in a window, which begins with the first of them.
  ReportLimit(std::size_t max, Clock::duration window) : max_{max}, window_{window} {}

  /// Whether to report now; if not, it is counted as left out.
  [[nodiscard]] bool allows(Clock::time_point now) {
    if (now >= end_) {
      end_ = now + window_;
      reported_ = 0;
    }
    if (reported_ < max_) {
      ++reported_;
      return true;
    }
    ++left_out_;
    return false;
  }

  /// Number of reports left out in a window that is over; each counts once.
  [[nodiscard]] std::size_t take_left_out(Clock::time_point now) {
    const std::size_t count = now >= end_ ? left_out_ : 0;
    left_out_ -= count;
    return count;
  }

private:
  const std::size_t max_;
  const Clock::duration window_;
  Clock::time_point end_{};
  std::size_t reported_ = 0;
  std::size_t left_out_ = 0;
};

} // namespace vmemfs
