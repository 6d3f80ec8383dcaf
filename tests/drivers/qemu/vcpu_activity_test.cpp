// With threads of the test's own in the place of vCPUs.
#include "drivers/qemu/vcpu_activity.h"
#include "support/files.h"

#include <atomic>
#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

/// Sleeps until it is woken, and then sleeps again.
class Sleeper {
public:
  Sleeper() {
    EXPECT_TRUE(test::eventually([&] { return tid_ != 0; }));
  }
  ~Sleeper() { end(); }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  [[nodiscard]] pid_t tid() const { return tid_; }
  void wake() {
    const int before = rounds_;
    condition_.notify_all();
    EXPECT_TRUE(test::eventually([&] { return rounds_ > before; }));
  }
  void end() {
    if (thread_.joinable()) {
      thread_.request_stop();
      thread_.join();
    }
  }

private:
  std::mutex mutex_;
  std::condition_variable_any condition_;
  std::atomic<pid_t> tid_{0};
  std::atomic<int> rounds_{0};
  std::jthread thread_{[this](const std::stop_token& stop) {
    std::unique_lock lock{mutex_};
    tid_ = static_cast<pid_t>(::syscall(SYS_gettid));
    while (!stop.stop_requested()) {
      const int round = rounds_;
      condition_.wait(lock, stop, [&, first = true]() mutable { return !std::exchange(first, false); });
      rounds_ = round + 1;
    }
  }};
};

Process self() { return Process::open(::getpid()).value(); }

TEST(VcpuActivity, ASleepingThreadHasNoneAndAWokenOneHas) {
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

TEST(VcpuActivity, AThreadThatHasEndedIsTold) {
  Sleeper sleeper;
  const pid_t tid = sleeper.tid();
  const auto activity = VcpuActivity::open(self(), {&tid, 1});
  ASSERT_TRUE(activity) << activity.error().message();
  sleeper.end();
  EXPECT_TRUE(test::eventually([&] { return !activity->sample(); }));
}

TEST(VcpuActivity, ARunningThreadIsNotAsleep) {
  const auto tid = static_cast<pid_t>(::syscall(SYS_gettid));
  const auto activity = VcpuActivity::open(self(), {&tid, 1});
  ASSERT_TRUE(activity) << activity.error().message();
  EXPECT_FALSE(activity->all_asleep());
}

TEST(VcpuActivity, ThreadsMustBeOfTheProcess) {
  const pid_t init = 1;
  const auto foreign = VcpuActivity::open(self(), {&init, 1});
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().kind, ErrorKind::not_found);
  EXPECT_FALSE(VcpuActivity::open(self(), {}));
}

} // namespace
} // namespace vmemfs::qemu
