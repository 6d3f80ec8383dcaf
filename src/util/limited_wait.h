// SPDX-License-Identifier: MIT
// Waiting for a condition for as long as the calling thread's WorkLimit allows.
#pragma once

#include "util/mutex.h"
#include "util/work_limit.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace vmemfs {

/// As Condition::wait_until(), and false also when the WorkLimit of the thread is over, noticed within 50 ms.
template <typename Predicate> bool wait_within_limit(Condition& condition, Mutex& mutex,
                                                     WorkLimit::Clock::time_point deadline, Predicate holds)
    REQUIRES(mutex) {
  constexpr std::chrono::milliseconds kBetweenChecks{50};
  if (!WorkLimit::in_force()) {
    return condition.wait_until(mutex, deadline, std::move(holds));
  }
  for (;;) {
    const auto now = WorkLimit::Clock::now();
    if (condition.wait_until(mutex, std::min(deadline, now + kBetweenChecks), holds)) {
      return true;
    }
    if (now >= deadline || WorkLimit::over()) {
      return false;
    }
  }
}

} // namespace vmemfs
