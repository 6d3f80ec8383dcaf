// SPDX-License-Identifier: MIT
// Polls of the run states of a mount's VMs at common moments: one job and one wake-up for all of them.
#pragma once

#include "util/worker.h"

#include <functional>
#include <memory>

namespace vmemfs {

/// Thread-safe.
class StatePolls {
public:
  using Clock = Worker::Clock;

  /// `jobs` outlives this object.
  explicit StatePolls(Worker& jobs);

  /// The next multiple of `period`.
  [[nodiscard]] static Clock::time_point next_moment(Clock::duration period);

  /// Calls `poll` at `moment`, one of next_moment(), unless `owner` was destroyed by then. It must return
  /// soon, as those of all VMs are called in turn, and must not throw.
  void post(Clock::time_point moment, std::weak_ptr<const void> owner, std::function<void()> poll) const;

private:
  class Due;

  Worker& jobs_;
  const std::shared_ptr<Due> due_; ///< jobs hold it too
};

} // namespace vmemfs
