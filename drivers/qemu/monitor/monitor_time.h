// SPDX-License-Identifier: MIT
// Time limits of an operation that uses a monitor.
#pragma once

#include <algorithm>
#include <chrono>

namespace vmemfs::qemu {

/// A value. Each exchange has a time limit, and all exchanges of one operation, in one session or several,
/// have `timeouts` of them together, waiting for the sessions of others included.
struct MonitorTime {
  using Clock = std::chrono::steady_clock;

  /// Of an operation of an attached VM.
  static constexpr int kOperation = 2;
  /// And then of what puts the guest back into the state that it had before.
  static constexpr int kPutBack = 1;

  std::chrono::milliseconds timeout; ///< of one exchange
  Clock::time_point begin = Clock::now();
  int timeouts = kOperation;

  [[nodiscard]] std::chrono::milliseconds limit() const { return timeouts * timeout; }
  [[nodiscard]] bool over() const { return Clock::now() >= begin + limit(); }
  /// Time limit of an exchange that begins now.
  [[nodiscard]] Clock::time_point exchange_end() const {
    return std::min(Clock::now() + timeout, begin + limit());
  }
};

} // namespace vmemfs::qemu
