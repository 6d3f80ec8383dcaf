// SPDX-License-Identifier: MIT
// VcpuIdleMonitor with a thread of the test in place of a vCPU thread.
#include "tests/vmm/sleeper.h"
#include "vmm/vcpu_idle_monitor.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

class VcpuIdleMonitorTest : public testing::Test {
protected:
  void SetUp() override {
    const pid_t tid = vcpu_.tid();
    auto activity = VcpuActivity::open(Process::open(::getpid()).value(), {&tid, 1});
    ASSERT_TRUE(activity) << activity.error().message();
    ASSERT_TRUE(test::eventually([&] { return activity->all_asleep(); }));
    static_cast<void>(idle_monitor_.watch(std::move(*activity)));
  }

  /// Queries with the answer `running`; returns how often has_run was called meanwhile.
  int ask(bool running) {
    int by_then = 0;
    const auto status = idle_monitor_.ask(
        [&]() -> Result<RunStatus> {
          by_then = notified_;
          return RunStatus{running, ""};
        },
        [&] { ++notified_; });
    EXPECT_TRUE(status && status->running == running);
    return by_then;
  }

  Sleeper vcpu_;
  VcpuIdleMonitor idle_monitor_;
  int notified_ = 0;
};

TEST_F(VcpuIdleMonitorTest, VisibleRun_IsReportedBeforeTheQuery) {
  EXPECT_EQ(ask(false), 0);
  EXPECT_EQ(ask(false), 0); // it is still paused
  vcpu_.wake();
  EXPECT_EQ(ask(false), 1);
  EXPECT_EQ(notified_, 1);
  EXPECT_FALSE(idle_monitor_.poll()); // already reported
}

TEST_F(VcpuIdleMonitorTest, RunKnownOnlyToTheVmm_IsReportedAfterItsAnswer) {
  EXPECT_EQ(ask(false), 0);
  EXPECT_EQ(ask(true), 0);
  EXPECT_EQ(notified_, 1);
  EXPECT_EQ(ask(true), 1); // once
  EXPECT_EQ(notified_, 1);
}

TEST_F(VcpuIdleMonitorTest, RunAfterAPause_IsDetectedByPoll) {
  idle_monitor_.note_paused();
  EXPECT_FALSE(idle_monitor_.poll());
  vcpu_.wake();
  EXPECT_TRUE(test::eventually([&] { return idle_monitor_.poll(); }));
}

TEST_F(VcpuIdleMonitorTest, ForgottenPause_IsNotReported) {
  idle_monitor_.note_paused();
  idle_monitor_.forget();
  vcpu_.wake();
  EXPECT_EQ(ask(true), 0);
  EXPECT_EQ(notified_, 0);
}

TEST_F(VcpuIdleMonitorTest, Run_IsDetectedByPoll) {
  EXPECT_EQ(ask(false), 0);
  vcpu_.wake();
  EXPECT_TRUE(idle_monitor_.poll());
  EXPECT_EQ(ask(false), 0);
  EXPECT_EQ(notified_, 0);
}

} // namespace
} // namespace vmemfs
