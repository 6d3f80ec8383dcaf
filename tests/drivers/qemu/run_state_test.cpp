// SPDX-License-Identifier: MIT
// Detection by the driver that another client has resumed a paused guest.
#include "tests/drivers/qemu/attached_guest.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <mutex>
#include <thread>
#include <vector>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;
using test::GuestOptions;
using Clock = std::chrono::steady_clock;

class Listener : public VmListener {
public:
  void on_vm_event(VmEvent event) override {
    const std::scoped_lock lock{mutex_};
    events_.push_back(event);
  }
  [[nodiscard]] std::vector<VmEvent> take() {
    const std::scoped_lock lock{mutex_};
    return std::exchange(events_, {});
  }

private:
  std::mutex mutex_;
  std::vector<VmEvent> events_;
};

struct Kind {
  std::string name;
  bool idle;
  std::vector<std::string> extra;
  std::string accel = "tcg";
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class RunState : public testing::TestWithParam<Kind> {
protected:
  void SetUp() override {
    if (GetParam().accel == "kvm" && !UniqueFd{::open("/dev/kvm", O_RDWR | O_CLOEXEC)}) {
      GTEST_SKIP() << "no usable /dev/kvm on this machine";
    }
    GuestOptions options;
    options.fill = "none";
    options.idle = GetParam().idle;
    options.extra = GetParam().extra;
    options.accel = GetParam().accel;
    vm_ = std::make_unique<AttachedGuest>(options);
    vm_->driver().set_listener(&listener_);
  }
  void TearDown() override {
    if (vm_ != nullptr) {
      vm_->driver().set_listener(nullptr);
    }
  }

  test::QemuGuest& guest() { return vm_->guest(); }

  void expect_paused() {
    const auto status = vm_->control().run_status();
    ASSERT_TRUE(status) << status.error().message();
    EXPECT_FALSE(status->running);
  }

  /// Number of events while poll_run_state() was called for that time.
  int unclear_within(std::chrono::milliseconds time) {
    int unclear = 0;
    for (const auto end = Clock::now() + time; Clock::now() < end; std::this_thread::sleep_for(1ms)) {
      vm_->driver().poll_run_state();
      for (const VmEvent event : listener_.take()) {
        unclear += event == VmEvent::state_unclear ? 1 : 0;
      }
    }
    return unclear;
  }

  /// Number of events from now until 50 ms after the first one, which may come late on a busy host.
  int unclear_soon() {
    int unclear = 0;
    EXPECT_TRUE(test::eventually([&] { return (unclear += unclear_within(1ms)) > 0; }));
    return unclear + unclear_within(50ms);
  }

  /// Waits until the driver is certain that the paused guest has not run since it answered. On a busy host a
  /// vCPU thread of QEMU may fall asleep only after QEMU's answer, which looks like a run: the driver then
  /// reports it, once, and takes the next answer as the new state.
  void expect_paused_for_certain() {
    constexpr int kMaxRounds = 5;
    for (int round = 0; round < kMaxRounds; ++round) {
      expect_paused();
      static_cast<void>(listener_.take());
      const int late = unclear_within(30ms);
      ASSERT_LE(late, 1);
      if (late == 0) {
        return;
      }
    }
    FAIL() << "a paused guest is reported as perhaps running again and again";
  }

  Listener listener_;
  std::unique_ptr<AttachedGuest> vm_;
};

TEST_P(RunState, HasADelay) {
  const auto delay = vm_->driver().state_delay();
  ASSERT_TRUE(delay);
  EXPECT_LE(*delay, 50ms);
}

TEST_P(RunState, PausedGuest_NoEvents) {
  ASSERT_TRUE(vm_->control().pause());
  // A vCPU thread that gets no CPU between saying that it has stopped and falling asleep looks like a run.
  EXPECT_TRUE(test::eventually([&] {
    expect_paused();
    static_cast<void>(listener_.take());
    return unclear_within(1s) == 0;
  }));
}

TEST_P(RunState, ForeignResume_IsReported) {
  for (int i = 0; i < 3; ++i) {
    guest().pause();
    expect_paused_for_certain();
    guest().resume();
    EXPECT_EQ(unclear_soon(), 1) << i;
  }
}

TEST_P(RunState, ShortestRun_IsReported) {
  for (int i = 0; i < 20; ++i) {
    guest().pause();
    expect_paused_for_certain();
    guest().resume();
    guest().pause();
    EXPECT_EQ(unclear_soon(), 1) << i;
  }
}

TEST_P(RunState, Run_IsReportedBeforeTheNextAnswer) {
  for (int i = 0; i < 20; ++i) {
    guest().pause();
    expect_paused_for_certain();
    guest().resume();
    guest().pause();
    expect_paused();
    const auto events = listener_.take();
    EXPECT_EQ(std::ranges::count(events, VmEvent::state_unclear), 1) << i;
    expect_paused_for_certain();
  }
}

TEST_P(RunState, OwnResume_IsNotReported) {
  ASSERT_TRUE(vm_->control().pause());
  expect_paused_for_certain();
  ASSERT_TRUE(vm_->control().resume());
  EXPECT_EQ(unclear_within(200ms), 0);
}

TEST_P(RunState, RunningGuestThatSeemsPaused_IsReportedOnce) {
  ASSERT_TRUE(vm_->control().run_status());
  EXPECT_EQ(unclear_within(1500ms), 0);
  guest().pause();
  EXPECT_EQ(unclear_within(4s), 1);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, RunState,
    testing::Values(Kind{"busy", false, {}}, Kind{"idle", true, {}}, Kind{"two_vcpus", true, {"-smp", "2"}},
                    Kind{"kvm", true, {"-smp", "2"}, "kvm"},
                    Kind{"two_vcpus_one_thread", true, {"-smp", "2", "-accel", "tcg,thread=single"}}),
    [](const auto& kind) { return kind.param.name; });

TEST(RunStateOfAHotplugVm, NewVcpusAreWatchedToo) {
  GuestOptions options;
  options.fill = "none";
  options.extra = {"-smp", "1,maxcpus=3"};
  AttachedGuest vm{options};
  Listener listener;
  vm.driver().set_listener(&listener);
  ASSERT_TRUE(vm.control().pause());
  ASSERT_TRUE(test::eventually([&] { // as expect_paused_for_certain()
    const auto status = vm.control().run_status();
    static_cast<void>(listener.take());
    std::this_thread::sleep_for(30ms);
    vm.driver().poll_run_state();
    return status && listener.take().empty();
  }));
  vm.guest().monitor().human("device_add max-x86_64-cpu,id=c1,socket-id=0,core-id=1,thread-id=0");
  ASSERT_TRUE(vm.driver().refresh());
  EXPECT_EQ(vm.driver().vcpus().size(), 2U);
  EXPECT_EQ(std::ranges::count(listener.take(), VmEvent::state_unclear), 1)
      << "what was known is of other threads";
  EXPECT_TRUE(vm.driver().state_delay());
  ASSERT_TRUE(vm.control().run_status());
  vm.guest().resume();
  EXPECT_TRUE(test::eventually([&] {
    vm.driver().poll_run_state();
    return std::ranges::count(listener.take(), VmEvent::state_unclear) > 0;
  }));
  vm.driver().set_listener(nullptr);
}

TEST(RunStateWithoutAMonitor, RunState_IsNotPolled) {
  GuestOptions options;
  options.fill = "none";
  options.monitor_for_driver = false;
  AttachedGuest vm{options, ",timeout=500ms"};
  EXPECT_FALSE(vm.driver().state_delay());
  vm.driver().poll_run_state();
}

/// With a kept monitor, events before a command are delivered before its answer.
TEST(RunStateWithAKeptMonitor, EventsComeBeforeTheAnswer) {
  GuestOptions options;
  options.fill = "none";
  AttachedGuest vm{options, ",keep=on"};
  Listener listener;
  vm.driver().set_listener(&listener);
  for (int i = 0; i < 50; ++i) {
    vm.guest().pause();
    const auto paused = vm.control().run_status();
    ASSERT_TRUE(paused && !paused->running);
    auto events = listener.take();
    EXPECT_EQ(std::ranges::count(events, VmEvent::paused), 1) << i;
    vm.guest().resume();
    const auto resumed = vm.control().run_status();
    ASSERT_TRUE(resumed && resumed->running);
    events = listener.take();
    EXPECT_EQ(std::ranges::count(events, VmEvent::resumed), 1) << i;
    std::this_thread::sleep_for(1ms);
    EXPECT_TRUE(listener.take().empty());
  }
  vm.driver().set_listener(nullptr);
}

} // namespace
} // namespace vmemfs::qemu
