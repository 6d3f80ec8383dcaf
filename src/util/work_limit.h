// SPDX-License-Identifier: MIT
// Limit of the work that a thread does for one VM: a deadline, and a stop by another thread.
//
// What waits or repeats for a VM checks it without having to be handed it: wait_for_fd() gives up by itself,
// loops over what a VMM wrote ask over(). Work without a limit, such as a read, is not affected.
#pragma once

#include "core/error.h"

#include <chrono>
#include <stop_token>
#include <string_view>
#include <utility>

namespace vmemfs {

/// In force for the thread that made it, as long as it exists; an object of the stack. Within another one
/// both hold. The static functions ask about the calling thread and may be called by any.
class WorkLimit {
public:
  using Clock = std::chrono::steady_clock;

  explicit WorkLimit(Clock::time_point deadline, std::stop_token stop = {})
      : deadline_{deadline}, stop_{std::move(stop)}, outer_{std::exchange(current_, this)} {}
  ~WorkLimit() { current_ = outer_; }
  WorkLimit(const WorkLimit&) = delete;
  WorkLimit& operator=(const WorkLimit&) = delete;

  [[nodiscard]] static bool in_force() { return current_ != nullptr; }
  /// The work is to end now, with exceeded().
  [[nodiscard]] static bool over() { return current_ != nullptr && current_->is_over(); }
  /// timed_out, with the reason: time is over, or somebody stopped the work.
  [[nodiscard]] static tl::unexpected<Error> exceeded(std::string_view origin) {
    const bool stopped = current_ != nullptr && current_->is_stopped();
    return fail(ErrorKind::timed_out, origin,
                stopped ? "given up, because it was stopped"
                        : "given up, because it took longer than one VM may; check that the VM answers");
  }

private:
  [[nodiscard]] bool is_over() const {
    return is_stopped() || Clock::now() >= deadline_ || (outer_ != nullptr && outer_->is_over());
  }
  [[nodiscard]] bool is_stopped() const {
    return stop_.stop_requested() || (outer_ != nullptr && outer_->is_stopped());
  }

  /// The innermost of this thread, so that no function on the way needs a parameter for it.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables, readability-identifier-naming)
  inline static thread_local const WorkLimit* current_ = nullptr;

  const Clock::time_point deadline_;
  const std::stop_token stop_;
  const WorkLimit* const outer_;
};

} // namespace vmemfs
