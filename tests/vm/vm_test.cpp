// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "driver/decorators/forwarding_driver.h"
#include "vm/vm.h"
#include "vm_fixture.h"

#include <atomic>
#include <chrono>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace vmemfs::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class VmTest : public testing::Test, protected VmFixture {
protected:
  [[nodiscard]] bool runs() const { return vm->run_state().status()->running; }
};

class VmVcpusTest : public VmTest {
protected:
  static VcpuSet set(std::vector<VcpuId> vcpus) { return VcpuSet::of(std::move(vcpus), "test").value(); }
  [[nodiscard]] std::vector<std::string> reported() const {
    std::vector<std::string> details;
    for (const auto& event : events.read(0, EventLog::kMaxKept).events) {
      if (event->kind == EventKind::vcpus) {
        details.push_back(event->detail);
      }
    }
    return details;
  }
};

TEST_F(VmVcpusTest, PluggedAndUnplugged_ReportsTheDifference) {
  EXPECT_EQ(vm->guest().vcpus(), VcpuSet::first(1));
  fake->set_vcpus(set({VcpuId{0}, VcpuId{1}, VcpuId{3}}));
  EXPECT_EQ(to_string(vm->guest().vcpus()), "0-1,3");
  ASSERT_TRUE(eventually([&] { return !reported().empty(); }));
  fake->set_vcpus(set({VcpuId{0}, VcpuId{2}, VcpuId{3}}));
  ASSERT_TRUE(eventually([&] { return reported().size() == 2; }));
  EXPECT_THAT(reported(), testing::ElementsAre("added 1,3; now 0-1,3", "added 2; removed 1; now 0,2-3"));
}

TEST_F(VmVcpusTest, ThousandChanges_AreFewEvents_AndTheLastOneIsTrue) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    fake->set_vcpus(VcpuSet::first(i % 2 == 0 ? 2 : 1));
  }
  fake->set_vcpus(VcpuSet::first(4));
  ASSERT_TRUE(eventually([&] { return !reported().empty() && reported().back().ends_with("now 0-3"); }));
  const auto seconds =
      std::chrono::ceil<std::chrono::seconds>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_LE(events.count(EventKind::vcpus), static_cast<std::uint64_t>(seconds) + 1);
}

TEST_F(VmVcpusTest, RegistersOfAVcpuThatWent_AreVcpuGone) {
  fake->set_vcpus(VcpuSet::first(2));
  const VcpuId second{1};
  EXPECT_TRUE(vm->guest().read_registers({&second, 1}));
  fake->set_vcpus(VcpuSet::first(1));
  EXPECT_EQ(vm->guest().read_registers({&second, 1}).error().kind, ErrorKind::vcpu_gone);
  ASSERT_TRUE(vm->write_gate().set_writable(true));
  const RegisterValue value{x86_64::Register::rbx, 1};
  EXPECT_EQ(vm->guest().write_registers(second, {&value, 1}).error().kind, ErrorKind::vcpu_gone);
  EXPECT_THAT(vm->events().last_error().text, HasSubstr("there is no vCPU 1"));
}

TEST_F(VmTest, PauseAndResume_AreIdempotentAndBeginEpochs) {
  const auto epoch = vm->cache().epoch();
  ASSERT_EQ(vm->run_state().pause(), Paused::by_us);
  EXPECT_EQ(vm->run_state().info().by, PausedBy::us);
  const auto paused = vm->cache().epoch();
  EXPECT_GT(paused, epoch);
  ASSERT_EQ(vm->run_state().pause(), Paused::by_us);
  EXPECT_EQ(vm->cache().epoch(), paused);
  EXPECT_FALSE(runs());
  drops = 0;
  ASSERT_TRUE(vm->run_state().resume().has_value());
  EXPECT_EQ(drops, 1);
  ASSERT_TRUE(vm->run_state().resume().has_value());
  EXPECT_GT(vm->cache().epoch(), paused);
  EXPECT_TRUE(runs());
  EXPECT_EQ(vm->run_state().info().by, PausedBy::nobody);
  EXPECT_GT(changes, 0);
}

/// Each call is an exchange with the monitor. The last one is needed only if the driver's pause() does not
/// return the state that it saw.
TEST(VmPause, DriverIsAsked_NoMoreThanNeeded) {
  FakeOptions options;
  options.events_of_own_commands = false; // an event is followed by a query of its own
  const VmFixture fixture{options};
  std::vector<std::string> expected = fixture.fake->calls();
  expected.insert(expected.end(), {"run_status", "pause"});
  if (!std::is_same_v<decltype(std::declval<RunControl&>().pause()), Result<RunStatus>>) {
    expected.emplace_back("run_status");
  }
  ASSERT_TRUE(fixture.vm->run_state().pause().has_value());
  EXPECT_EQ(fixture.fake->calls(), expected);
}

/// While it is on, the monitor does not answer.
struct Silence {
  std::atomic<bool> on{false};
  std::promise<void> end;
  std::shared_future<void> ended = end.get_future().share();
};

class SilentDriver : public ForwardingDriver, RunControl {
public:
  SilentDriver(std::unique_ptr<Driver> inner, const Silence& silence)
      : ForwardingDriver{std::move(inner)}, silence_{silence} {}

  RunControl* run_control() override { return this; }
  Result<RunStatus> run_status() override {
    if (silence_.on) {
      silence_.ended.wait();
    }
    return inner().run_control()->run_status();
  }
  Result<RunStatus> pause() override { return inner().run_control()->pause(); }
  Result<RunStatus> resume() override { return inner().run_control()->resume(); }

private:
  const Silence& silence_;
};

TEST(VmOperations, OneHangs_AllOthersAreBusyAfterTheLimit) {
  constexpr int kOperations = 10;
  Silence silence;
  const VmFixture fixture{{}, {}, {}, [&](std::unique_ptr<Driver> driver) {
                            return std::make_unique<SilentDriver>(std::move(driver), silence);
                          }};
  silence.on = true;
  std::vector<std::future<Result<RunStatus>>> operations;
  for (int i = 0; i < kOperations; ++i) {
    operations.push_back(
        std::async(std::launch::async, [&fixture] { return fixture.vm->run_state().status(); }));
  }
  const auto ready = [](const auto& operation) {
    return operation.wait_for(std::chrono::seconds{0}) == std::future_status::ready;
  };
  EXPECT_TRUE(eventually([&] { return std::ranges::count_if(operations, ready) >= kOperations - 1; }));
  int busy = 0;
  for (auto& operation : operations) {
    if (ready(operation)) {
      busy += operation.get().error().kind == ErrorKind::busy ? 1 : 0;
    }
  }
  EXPECT_EQ(busy, kOperations - 1);
  silence.end.set_value();
}

TEST_F(VmTest, ForeignPause_IsSeenAndEndedOnlyByResume) {
  fake->set_running(false);
  EXPECT_TRUE(eventually([&] { return vm->run_state().info().by == PausedBy::other; }));
  EXPECT_EQ(vm->run_state().pause(), Paused::already);
  EXPECT_EQ(vm->run_state().pause(PauseKind::timed, milliseconds{1}), Paused::already);
  const auto hold = vm->run_state().hold();
  ASSERT_TRUE(hold.has_value());
  vm->run_state().end_hold(*hold);
  vm->run_state().release();
  EXPECT_EQ(vm->run_state().info().by, PausedBy::other);
  EXPECT_FALSE(runs());
  ASSERT_TRUE(vm->run_state().resume().has_value());
  EXPECT_TRUE(runs());
}

TEST_F(VmTest, ForeignResume_EndsOurPause) {
  ASSERT_TRUE(vm->run_state().pause().has_value());
  fake->set_running(true);
  EXPECT_TRUE(eventually([&] { return vm->run_state().info().by == PausedBy::nobody; }));
  fake->set_running(false);
  EXPECT_TRUE(eventually([&] { return vm->run_state().info().by == PausedBy::other; }));
  vm->run_state().release();
  EXPECT_FALSE(runs());
}

TEST_F(VmTest, Release_EndsOurPauseButNotKeep) {
  ASSERT_TRUE(vm->run_state().pause().has_value());
  vm->run_state().release();
  EXPECT_TRUE(runs());
  ASSERT_TRUE(vm->run_state().pause(PauseKind::keep).has_value());
  vm->run_state().release();
  EXPECT_FALSE(runs());
  EXPECT_TRUE(vm->run_state().info().keep);
}

TEST_F(VmTest, Holds_AreCounted) {
  const auto first = vm->run_state().hold();
  const auto second = vm->run_state().hold();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(vm->run_state().info().holds, 2U);
  const auto refused = vm->run_state().resume();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::busy);
  EXPECT_THAT(refused.error().text, HasSubstr("2 open control file(s)"));
  vm->run_state().end_hold(*first);
  EXPECT_FALSE(vm->run_state().is_held(*first));
  EXPECT_FALSE(runs());
  vm->run_state().end_hold(*second);
  EXPECT_TRUE(runs());
  const auto own = vm->run_state().hold();
  ASSERT_TRUE(own.has_value());
  EXPECT_TRUE(vm->run_state().resume(*own).has_value());
  EXPECT_TRUE(runs());
  vm->run_state().end_hold(*own); // it has ended already
  EXPECT_TRUE(runs());
}

TEST_F(VmTest, HoldEnds_OtherPausesRemain) {
  ASSERT_TRUE(vm->run_state().pause().has_value());
  const auto hold = vm->run_state().hold();
  ASSERT_TRUE(hold.has_value());
  vm->run_state().end_hold(*hold);
  EXPECT_FALSE(runs());
  EXPECT_EQ(vm->run_state().info().by, PausedBy::us);
}

TEST_F(VmTest, TimedPause_EndsUnlessOthersRemain) {
  ASSERT_EQ(vm->run_state().pause(PauseKind::timed, milliseconds{2000}), Paused::by_us);
  EXPECT_TRUE(vm->run_state().info().ends_in.has_value());
  EXPECT_TRUE(eventually([&] { return runs(); }));

  ASSERT_EQ(vm->run_state().pause(PauseKind::timed, milliseconds{30}), Paused::by_us);
  ASSERT_EQ(vm->run_state().pause(PauseKind::timed, milliseconds{120'000}), Paused::by_us);
  ASSERT_EQ(vm->run_state().pause(PauseKind::timed, milliseconds{10}), Paused::by_us);
  std::this_thread::sleep_for(milliseconds{150});
  EXPECT_FALSE(runs());
}

TEST_F(VmTest, Paused_LastChangeIsConstant) {
  ASSERT_TRUE(vm->run_state().pause().has_value());
  const auto since = vm->run_state().last_change();
  EXPECT_EQ(vm->run_state().last_change(), since);
  ASSERT_TRUE(vm->run_state().resume().has_value());
  EXPECT_GT(vm->run_state().last_change(), since);
}

class FrozenDriver : public ForwardingDriver {
public:
  using ForwardingDriver::ForwardingDriver;
  bool frozen() const override { return true; }
};

TEST(VmFrozen, LastChange_IsConstantAndPast) {
  const VmFixture saved{{}, {}, {}, [](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
                          return std::make_unique<FrozenDriver>(std::move(inner));
                        }};
  const auto time = saved.vm->run_state().last_change();
  EXPECT_LE(time, std::chrono::system_clock::now());
  std::this_thread::sleep_for(milliseconds{2});
  EXPECT_EQ(saved.vm->run_state().last_change(), time);
}

TEST_F(VmTest, FailedOperation_LastErrorHasTheMessage) {
  EXPECT_EQ(vm->events().last_error().text, "");
  fault->fail_nth(FaultPoint::run_status, 1, ErrorKind::timed_out);
  EXPECT_EQ(vm->run_state().pause().error().kind, ErrorKind::timed_out);
  EXPECT_THAT(vm->events().last_error().text, HasSubstr("injected failure"));
  fault->fail_nth(FaultPoint::refresh, 1);
  EXPECT_FALSE(vm->guest().memory().refresh().has_value());
  fault->fail_nth(FaultPoint::resume, 1);
  EXPECT_FALSE(vm->run_state().resume().has_value());
}

TEST_F(VmTest, FailedPauseThatTookEffect_IsUndone) {
  fault->fail_nth(FaultPoint::pause, 1, ErrorKind::timed_out);
  EXPECT_FALSE(vm->run_state().pause().has_value());
  fake->set_running(false); // the command took effect nevertheless
  EXPECT_TRUE(eventually([&] { return runs(); }));
}

TEST_F(VmTest, StateUnknownAtTheEndOfAHold_IsAskedForAgain) {
  const auto hold = vm->run_state().hold();
  ASSERT_TRUE(hold.has_value());
  fault->fail_nth(FaultPoint::run_status, 1, ErrorKind::busy);
  vm->run_state().end_hold(*hold);
  EXPECT_TRUE(eventually([&] { return runs(); }));
}

TEST_F(VmTest, HoldEndFails_IsRetried) {
  const auto hold = vm->run_state().hold();
  ASSERT_TRUE(hold.has_value());
  fault->fail_nth(FaultPoint::resume, 1, ErrorKind::timed_out);
  vm->run_state().end_hold(*hold);
  EXPECT_FALSE(runs());
  EXPECT_TRUE(eventually([&] { return runs(); }));
}

TEST_F(VmTest, VmEnded_OperationsFailAsGone) {
  fake->die();
  EXPECT_EQ(vm->run_state().pause().error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(vm->run_state().hold().error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(vm->run_state().resume().error().kind, ErrorKind::vm_gone);
  const VcpuId first{0};
  EXPECT_EQ(vm->guest().read_registers({&first, 1}).error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(vm->guest().memory().write(0, {}).error().kind, ErrorKind::vm_gone);
  EXPECT_GT(changes, 0);
}

// ---- the guard: armed exactly while the VM must not stay paused without vmemfs

TEST_F(VmTest, OurPause_ArmsTheGuard) {
  ASSERT_TRUE(vm->run_state().pause().has_value());
  EXPECT_EQ(guard.armed(), 1U);
  ASSERT_TRUE(vm->run_state().resume().has_value());
  EXPECT_EQ(guard.armed(), 0U);
  const auto hold = vm->run_state().hold();
  ASSERT_TRUE(hold.has_value());
  EXPECT_EQ(guard.armed(), 1U);
  vm->run_state().end_hold(*hold);
  EXPECT_EQ(guard.armed(), 0U);
  ASSERT_TRUE(vm->run_state().pause(PauseKind::keep).has_value());
  EXPECT_EQ(guard.armed(), 0U);
}

TEST_F(VmTest, ForeignPause_DoesNotArmTheGuard) {
  fake->set_running(false);
  ASSERT_EQ(vm->run_state().pause(), Paused::already);
  ASSERT_TRUE(vm->run_state().hold().has_value());
  EXPECT_EQ(guard.armed(), 0U);
}

TEST_F(VmTest, ForeignResume_DisarmsTheGuard) {
  ASSERT_TRUE(vm->run_state().pause().has_value());
  fake->set_running(true);
  EXPECT_TRUE(eventually([&] { return guard.armed() == 0; }));
}

TEST_F(VmTest, GuardFails_PauseFails) {
  guard.refuse = true;
  EXPECT_EQ(vm->run_state().pause().error().kind, ErrorKind::source_failed);
  EXPECT_TRUE(runs());
  EXPECT_EQ(vm->run_state().info().by, PausedBy::nobody);
  EXPECT_TRUE(vm->run_state().pause(PauseKind::keep).has_value()) << "which needs none";
}

// ---- writes

std::vector<std::byte> some_bytes(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(i * 7 + 1);
  }
  return bytes;
}

class VmWriteTest : public testing::Test, protected VmFixture {
protected:
  // RAM 0-0x10000, ROM to 0x14000, RAM to 0x20000, hole to 0x30000, RAM to 0x40000.
  static FakeOptions options() {
    FakeOptions options;
    options.size = 0x40000;
    options.roms = {{Gpa{0x10000}, Gpa{0x14000}}};
    options.holes = {{Gpa{0x20000}, Gpa{0x30000}}};
    return options;
  }
  VmWriteTest() : VmFixture{options()} {}
};

TEST_F(VmWriteTest, Write_OffByDefault_IsRefused) {
  const auto bytes = some_bytes(16);
  const auto before = read(0x1000, 16);
  const auto refused = vm->guest().memory().write(0x1000, bytes);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::read_only);
  EXPECT_THAT(refused.error().text, HasSubstr("write on"));
  EXPECT_EQ(read(0x1000, 16), before);
  ASSERT_TRUE(vm->write_gate().set_writable(true).has_value());
  EXPECT_EQ(vm->guest().memory().write(0x1000, bytes), 16U);
  EXPECT_EQ(read(0x1000, 16), bytes);
  ASSERT_TRUE(vm->write_gate().set_writable(false).has_value());
  EXPECT_FALSE(vm->guest().memory().write(0x1000, bytes).has_value());
  const std::vector<RegisterValue> values{{x86_64::Register::rax, 1}};
  EXPECT_EQ(vm->guest().write_registers(VcpuId{0}, values).error().kind, ErrorKind::read_only);
}

TEST_F(VmWriteTest, Write_PartlyUnwritableRange_WritesNothing) {
  ASSERT_TRUE(vm->write_gate().set_writable(true).has_value());
  const auto bytes = some_bytes(0x3000);
  const struct {
    std::uint64_t offset;
    ErrorKind kind;
  } cases[] = {
      {0x10000, ErrorKind::read_only}, // in ROM
      {0xf000, ErrorKind::read_only},  // into ROM
      {0x1f000, ErrorKind::hole},      // into a hole
      {0x20000, ErrorKind::hole},      // in a hole
      {0x3f000, ErrorKind::hole},      // over the end
      {0x40000, ErrorKind::hole},      // behind the end
      {~std::uint64_t{0} - 5, ErrorKind::hole},
  };
  const auto before = read(0, 0x40000, HolePolicy::padded);
  for (const auto& [offset, kind] : cases) {
    const auto written = vm->guest().memory().write(offset, bytes);
    ASSERT_FALSE(written.has_value()) << offset;
    EXPECT_EQ(written.error().kind, kind) << offset;
    EXPECT_THAT(written.error().text,
                testing::AnyOf(HasSubstr("nothing was written"), HasSubstr("no memory")));
  }
  EXPECT_EQ(read(0, 0x40000, HolePolicy::padded), before);
}

TEST_F(VmWriteTest, PartialWrite_ReportsBytesWritten) {
  ASSERT_TRUE(vm->write_gate().set_writable(true).has_value());
  fake->set_bad({{Gpa{0x3000}, Gpa{0x4000}}});
  const auto bytes = some_bytes(0x3000);
  EXPECT_EQ(vm->guest().memory().write(0x1800, bytes), 0x1800U);
  EXPECT_EQ(vm->guest().memory().write(0x3000, bytes).error().kind, ErrorKind::bad_page);
  fake->set_bad({});
  const auto now = read(0x1800, 0x1800);
  EXPECT_TRUE(std::equal(now.begin(), now.end(), bytes.begin()));
  EXPECT_EQ(word(0x3000), fake_word(Gpa{0x3000}));
}

TEST_F(VmWriteTest, Write_CachedPage_IsSeenAtOnce) {
  ASSERT_TRUE(vm->write_gate().set_writable(true).has_value());
  ASSERT_TRUE(
      vm->cache().change([&](CacheSettings& settings) { settings = {.mode = CacheMode::on}; }).has_value());
  ASSERT_TRUE(vm->run_state().pause().has_value());
  static_cast<void>(read(0, 0x8000));
  const auto epoch = vm->cache().epoch();
  const auto time = vm->run_state().last_change();
  const auto bytes = some_bytes(5000);
  ASSERT_EQ(vm->guest().memory().write(0x1234, bytes), 5000U);
  EXPECT_EQ(read(0x1234, 5000), bytes);
  EXPECT_GT(vm->cache().epoch(), epoch);
  EXPECT_GT(vm->run_state().last_change(), time);
}

} // namespace
} // namespace vmemfs::test
