// SPDX-License-Identifier: MIT
// Whether the kernel's page cache is used for a VM, and that each reason against it comes with its remedy.
#include "driver/decorators/forwarding_driver.h"
#include "vm/vm_fixture.h"

#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>

namespace vmemfs::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Use = KernelCacheUse;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

/// What a driver may say of its VM.
struct Said {
  bool frozen = false;
  bool no_run_control = false;
  bool no_state_delay = false;
  bool memory_changes = false;
  std::shared_ptr<const std::atomic<bool>> silent = nullptr; ///< its state cannot be queried
};

class SayingDriver : public ForwardingDriver, RunControl {
public:
  SayingDriver(std::unique_ptr<Driver> inner, Said said) : ForwardingDriver{std::move(inner)}, said_{said} {}

  bool frozen() const override { return said_.frozen; }
  RunControl* run_control() override { return said_.no_run_control ? nullptr : this; }
  std::optional<std::chrono::milliseconds> state_delay() const override {
    return said_.no_state_delay ? std::nullopt : ForwardingDriver::state_delay();
  }
  AccessReport access() const override {
    AccessReport report;
    report.run_control = "none: only a monitor\ncan";
    report.no_cache = "only with watch=on\n";
    return report;
  }

private:
  Result<RunStatus> run_status() override {
    if (said_.silent != nullptr && *said_.silent) {
      return fail(ErrorKind::source_failed, "test", "no answer");
    }
    return changed(inner().run_control()->run_status());
  }
  Result<RunStatus> pause() override { return changed(inner().run_control()->pause()); }
  Result<RunStatus> resume() override { return changed(inner().run_control()->resume()); }
  std::string resume_ticket() const override { return inner().run_control()->resume_ticket(); }
  Result<RunStatus> changed(Result<RunStatus> status) const {
    if (status && !status->running) {
      status->memory_changes = said_.memory_changes;
    }
    return status;
  }

  const Said said_;
};

VmFixture::Wrap saying(Said said) {
  return [said](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
    static_cast<void>(inner->refresh()); // the fixture waits for a first call
    return std::make_unique<SayingDriver>(std::move(inner), said);
  };
}

void set_kernel(VmFixture& fixture, CacheMode mode) {
  ASSERT_TRUE(fixture.vm->cache().change([mode](CacheSettings& settings) { settings.kernel = mode; }));
}

/// The reason, if it is that use. In use or not, open files must find the same.
std::string reason_for(VmFixture& fixture, Use use) {
  LiveGuest& guest = fixture.vm->guest();
  const KernelCache::State state = guest.kernel_cache_state();
  EXPECT_EQ(static_cast<int>(state.use), static_cast<int>(use)) << state.reason;
  EXPECT_EQ(static_cast<int>(guest.kernel_cache_use()), static_cast<int>(use));
  EXPECT_THAT(state.reason, Not(HasSubstr("\n")));
  return state.reason;
}

TEST(KernelCache, RunningGuest_SaysHowToPause) {
  VmFixture fixture;
  EXPECT_THAT(reason_for(fixture, Use::not_paused), HasSubstr("`echo pause > control`"));
  set_kernel(fixture, CacheMode::on);
  EXPECT_THAT(reason_for(fixture, Use::not_paused), HasSubstr("`echo pause > control`"));
  EXPECT_FALSE(fixture.vm->guest().page_cache_epoch());
}

TEST(KernelCache, PausedByUs_IsInUseUntilResume) {
  VmFixture fixture;
  ASSERT_TRUE(fixture.vm->run_state().pause());
  EXPECT_THAT(reason_for(fixture, Use::in_use), IsEmpty());
  EXPECT_TRUE(fixture.vm->guest().page_cache_epoch());
  ASSERT_TRUE(fixture.vm->run_state().resume());
  EXPECT_THAT(reason_for(fixture, Use::not_paused), Not(IsEmpty()));
  EXPECT_FALSE(fixture.vm->guest().page_cache_epoch());
}

TEST(KernelCache, PausedByOthers_KernelOnIsTheRemedy) {
  VmFixture fixture;
  fixture.fake->set_running(false);
  ASSERT_TRUE(fixture.vm->run_state().status());
  EXPECT_THAT(reason_for(fixture, Use::paused_by_others), HasSubstr("`echo cache kernel=on > control`"));
  EXPECT_FALSE(fixture.vm->guest().page_cache_epoch());
  set_kernel(fixture, CacheMode::on);
  EXPECT_THAT(reason_for(fixture, Use::in_use), IsEmpty());
  EXPECT_TRUE(fixture.vm->guest().page_cache_epoch());
}

TEST(KernelCache, SetOff_SaysSo) {
  VmFixture fixture;
  ASSERT_TRUE(fixture.vm->run_state().pause());
  set_kernel(fixture, CacheMode::off);
  EXPECT_THAT(reason_for(fixture, Use::off), HasSubstr("`echo cache kernel=auto > control`"));
  EXPECT_FALSE(fixture.vm->guest().page_cache_epoch());
}

TEST(KernelCache, WritesOn_WriteOffIsTheRemedy) {
  VmFixture fixture{{}, {.writable = true}};
  ASSERT_TRUE(fixture.vm->run_state().pause());
  set_kernel(fixture, CacheMode::on);
  EXPECT_THAT(reason_for(fixture, Use::writes_on), HasSubstr("`echo write off > control`"));
  EXPECT_FALSE(fixture.vm->guest().page_cache_epoch());
  ASSERT_TRUE(fixture.vm->write_gate().set_writable(false));
  EXPECT_THAT(reason_for(fixture, Use::in_use), IsEmpty());
}

TEST(KernelCache, CannotBePaused_HasTheDriversReason) {
  VmFixture fixture{{}, {}, {}, saying({.no_run_control = true})};
  EXPECT_EQ(reason_for(fixture, Use::cannot_pause), "the guest cannot be paused: only a monitor\\x0acan");
}

/// Also while it runs or somebody else has paused it: another pause or `kernel=on` would not help.
TEST(KernelCache, NothingReportsAResume_HasTheDriversReason) {
  VmFixture fixture{{}, {}, {}, saying({.no_state_delay = true})};
  EXPECT_THAT(reason_for(fixture, Use::unreported), HasSubstr("only with watch=on"));
  fixture.fake->set_running(false);
  ASSERT_TRUE(fixture.vm->run_state().status());
  EXPECT_THAT(reason_for(fixture, Use::unreported), HasSubstr("only with watch=on"));
  fixture.fake->set_running(true);
  ASSERT_TRUE(fixture.vm->run_state().status());
  ASSERT_TRUE(fixture.vm->run_state().pause());
  EXPECT_THAT(reason_for(fixture, Use::unreported), HasSubstr("only with watch=on"));
  EXPECT_FALSE(fixture.vm->guest().page_cache_epoch());
}

TEST(KernelCache, MemoryChangesUnderPause_SaysSo) {
  VmFixture fixture{{}, {}, {}, saying({.memory_changes = true})};
  ASSERT_TRUE(fixture.vm->run_state().pause());
  EXPECT_THAT(reason_for(fixture, Use::memory_changes), HasSubstr("migration"));
  set_kernel(fixture, CacheMode::on);
  EXPECT_THAT(reason_for(fixture, Use::memory_changes), HasSubstr("migration"));
}

TEST(KernelCache, StateCannotBeQueriedAfterAnEvent_SaysSo) {
  const auto silent = std::make_shared<std::atomic<bool>>(false);
  VmFixture fixture{{}, {}, {}, saying({.silent = silent})};
  ASSERT_TRUE(fixture.vm->run_state().pause());
  *silent = true;
  fixture.fake->reset();
  EXPECT_THAT(reason_for(fixture, Use::unclear), HasSubstr("try again"));
  *silent = false;
  EXPECT_TRUE(eventually([&] {
    static_cast<void>(fixture.vm->run_state().status());
    return fixture.vm->guest().kernel_cache_use() == Use::in_use;
  }));
}

TEST(KernelCache, GuestLargerThanHalfOfAvailableMemory_SaysHowMuch) {
  constexpr std::uint64_t kTiB = std::uint64_t{1} << 40U;
  VmFixture fixture{{.size = 16 * kTiB, .holes = {}, .roms = {}, .bad = {}}};
  ASSERT_TRUE(fixture.vm->run_state().pause());
  EXPECT_THAT(reason_for(fixture, Use::too_large),
              AllOf(HasSubstr(" 16777216 MiB"), HasSubstr("`echo cache kernel=on > control`")));
  EXPECT_TRUE(fixture.vm->guest().page_cache_epoch()) << "of files that are open already";
  set_kernel(fixture, CacheMode::on);
  EXPECT_THAT(reason_for(fixture, Use::in_use), IsEmpty());
}

TEST(KernelCache, RangeEndsWithinAPage_ImagesAreTheRemedy) {
  VmFixture fixture{{.size = kMiB, .holes = {{Gpa{0x1800}, Gpa{0x2000}}}, .roms = {}, .bad = {}}};
  ASSERT_TRUE(fixture.vm->run_state().pause());
  EXPECT_THAT(reason_for(fixture, Use::uneven_ranges), HasSubstr("read core or mem.lime"));
}

TEST(KernelCache, MemoryThatCannotChange_IsInUse) {
  VmFixture fixture{{}, {}, {}, saying({.frozen = true, .no_run_control = true, .no_state_delay = true})};
  EXPECT_THAT(reason_for(fixture, Use::in_use), IsEmpty());
}

TEST(KernelCache, EndedVm_SaysSo) {
  VmFixture fixture;
  ASSERT_TRUE(fixture.vm->run_state().pause());
  fixture.fake->die();
  EXPECT_THAT(reason_for(fixture, Use::vm_gone), HasSubstr("ended"));
}

} // namespace
} // namespace vmemfs::test
