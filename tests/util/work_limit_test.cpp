// SPDX-License-Identifier: MIT
#include "util/fd_wait.h"
#include "util/work_limit.h"

#include <array>
#include <chrono>
#include <gtest/gtest.h>
#include <poll.h>
#include <stop_token>
#include <thread>
#include <unistd.h>

namespace vmemfs {
namespace {

using namespace std::chrono_literals;
using Clock = WorkLimit::Clock;

/// A pipe to which nobody writes.
class SilentPipe {
public:
  SilentPipe() { EXPECT_EQ(::pipe(ends_.data()), 0); }
  ~SilentPipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  SilentPipe(const SilentPipe&) = delete;
  SilentPipe& operator=(const SilentPipe&) = delete;
  [[nodiscard]] Result<bool> wait(Clock::duration limit) const {
    return wait_for_fd(ends_[0], POLLIN, Clock::now() + limit);
  }

private:
  std::array<int, 2> ends_{};
};

/// Waits in vain, for all of that time.
void expect_to_wait(Clock::duration limit) {
  const SilentPipe pipe;
  const auto start = Clock::now();
  const auto ready = pipe.wait(limit);
  ASSERT_TRUE(ready);
  EXPECT_FALSE(*ready);
  EXPECT_GE(Clock::now() - start, limit);
}

TEST(WorkLimit, None_NothingIsOver) {
  EXPECT_FALSE(WorkLimit::in_force());
  EXPECT_FALSE(WorkLimit::over());
  expect_to_wait(120ms);
}

TEST(WorkLimit, DeadlinePassed_WaitEndsWithAnError) {
  const WorkLimit limit{Clock::now() + 1s};
  EXPECT_FALSE(WorkLimit::over());
  const SilentPipe pipe;
  const auto start = Clock::now();
  const auto ready = pipe.wait(20s);
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().kind, ErrorKind::timed_out);
  EXPECT_LT(Clock::now() - start, 15s);
  EXPECT_TRUE(WorkLimit::over());
}

TEST(WorkLimit, ShorterWait_EndsAtItsOwnDeadline) {
  const WorkLimit limit{Clock::now() + 20s};
  expect_to_wait(130ms);
}

TEST(WorkLimit, StoppedByAnotherThread_WaitEndsSoon) {
  std::stop_source stop;
  const std::jthread other{[&] {
    std::this_thread::sleep_for(100ms);
    stop.request_stop();
  }};
  const WorkLimit limit{Clock::time_point::max(), stop.get_token()};
  const SilentPipe pipe;
  const auto start = Clock::now();
  EXPECT_FALSE(pipe.wait(20s));
  EXPECT_LT(Clock::now() - start, 15s);
}

TEST(WorkLimit, OneInAnother_BothHold) {
  std::stop_source stop;
  {
    const WorkLimit outer{Clock::time_point::max(), stop.get_token()};
    const WorkLimit inner{Clock::now() + 20s};
    EXPECT_FALSE(WorkLimit::over());
    stop.request_stop();
    EXPECT_TRUE(WorkLimit::over());
  }
  const WorkLimit outer{Clock::time_point::max()};
  {
    const WorkLimit inner{Clock::now()};
    EXPECT_TRUE(WorkLimit::over());
  }
  EXPECT_FALSE(WorkLimit::over());
}

TEST(WorkLimit, OtherThread_HasItsOwn) {
  const WorkLimit limit{Clock::now()};
  EXPECT_TRUE(WorkLimit::over());
  std::jthread{[] { EXPECT_FALSE(WorkLimit::in_force()); }}.join();
}

} // namespace
} // namespace vmemfs
