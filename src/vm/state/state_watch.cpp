// SPDX-License-Identifier: MIT
#include "vm/state/state_watch.h"

namespace vmemfs {
namespace {

/// Poll interval of a paused VM that nobody reads, because its pages may be mapped.
constexpr std::chrono::milliseconds kPollInterval{100};
/// The same if nobody has the memory open.
constexpr std::chrono::milliseconds kSlowPollInterval{1000};

} // namespace

void StateWatch::start() {
  if (!driver_.state_delay()) {
    return; // nothing is cached or can be mapped, so polling would only serve notification
  }
  const auto next = StatePolls::next_moment(has_viewers() ? kPollInterval : kSlowPollInterval);
  const std::int64_t due = next.time_since_epoch().count();
  const std::int64_t planned = next_poll_;
  if (planned == 0 || planned > due) {
    next_poll_ = due;
    jobs_.post_poll(next, [this] { poll(); });
  }
}

void StateWatch::poll() {
  if (Clock::now().time_since_epoch().count() < next_poll_) {
    return; // an earlier poll was scheduled meanwhile, and that one continues
  }
  next_poll_ = 0;
  if (paused_since_ns_ != 0 && !driver_.gone()) {
    driver_.poll_run_state();
    start();
  }
}

void StateWatch::begin_view() {
  if (viewers_++ == 0 && paused_since_ns_ != 0) {
    driver_.poll_run_state();
    start();
  }
}

} // namespace vmemfs
