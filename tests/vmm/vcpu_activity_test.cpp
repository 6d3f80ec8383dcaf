// SPDX-License-Identifier: MIT
// VcpuActivity with threads of the test in place of vCPU threads.
#include "support/files.h"
#include "tests/vmm/sleeper.h"
#include "vmm/vcpu_activity.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

Process self() { return Process::open(::getpid()).value(); }

TEST(VcpuActivity, SleepingThread_HasNoneUntilWoken) {
  Sleeper one;
  Sleeper two;
  const std::vector<pid_t> tids{one.tid(), two.tid(), one.tid()};
  const auto activity = VcpuActivity::open(self(), tids);
  ASSERT_TRUE(activity) << activity.error().message();
  EXPECT_EQ(activity->threads().size(), 2U);
  for (Sleeper* const sleeper : {&one, &two}) {
    EXPECT_TRUE(test::eventually([&] { return activity->all_asleep(); }));
    const auto before = activity->sample();
    ASSERT_TRUE(before);
    EXPECT_EQ(activity->sample(), before);
    sleeper->wake();
    EXPECT_NE(activity->sample(), before);
  }
}

TEST(VcpuActivity, EndedThread_IsReported) {
  Sleeper sleeper;
  const pid_t tid = sleeper.tid();
  const auto activity = VcpuActivity::open(self(), {&tid, 1});
  ASSERT_TRUE(activity) << activity.error().message();
  sleeper.end();
  EXPECT_TRUE(test::eventually([&] { return !activity->sample(); }));
}

TEST(VcpuActivity, RunningThread_IsNotAsleep) {
  const auto tid = static_cast<pid_t>(::syscall(SYS_gettid));
  const auto activity = VcpuActivity::open(self(), {&tid, 1});
  ASSERT_TRUE(activity) << activity.error().message();
  EXPECT_FALSE(activity->all_asleep());
}

TEST(VcpuActivity, ThreadOfAnotherProcess_IsRefused) {
  const pid_t init = 1;
  const auto foreign = VcpuActivity::open(self(), {&init, 1});
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().kind, ErrorKind::not_found);
  EXPECT_FALSE(VcpuActivity::open(self(), {}));
}

} // namespace
} // namespace vmemfs
