// SPDX-License-Identifier: MIT
// Pause and resume of real guests that do not run for another reason than a pause.
#include "tests/drivers/qemu/attached_guest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::qemu {
namespace {

using test::GuestOptions;

std::string state_of(AttachedGuest& vm) {
  return vm.guest().monitor().execute("query-status").at("status").get<std::string>();
}

[[nodiscard]] bool reaches(AttachedGuest& vm, const std::string& state) {
  return test::eventually([&] { return state_of(vm) == state; });
}

/// A pause that changes nothing, because nothing but a command ends this state.
void expect_stays(AttachedGuest& vm, const std::string& state) {
  const auto status = vm.control().run_status();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->detail, state);
  EXPECT_FALSE(status->may_start);
  const auto paused = vm.control().pause();
  ASSERT_TRUE(paused) << paused.error().message();
  EXPECT_FALSE(paused->running);
  EXPECT_EQ(state_of(vm), state);
}

void expect_resumes(AttachedGuest& vm) {
  const auto resumed = vm.control().resume();
  ASSERT_TRUE(resumed) << resumed.error().message();
  EXPECT_TRUE(resumed->running);
  EXPECT_EQ(state_of(vm), "running");
}

TEST(StoppedState, Prelaunch) {
  AttachedGuest vm{{.extra = {"-S"}, .kernel = false}};
  expect_stays(vm, "prelaunch");
  expect_resumes(vm);
}

TEST(StoppedState, Watchdog) {
  AttachedGuest vm{{.fill = "none", .extra = {"-device", "ib700", "-action", "watchdog=pause"}}};
  vm.guest().monitor().human("o /b 0x443 0xf"); // ends at once
  ASSERT_TRUE(reaches(vm, "watchdog"));
  expect_stays(vm, "watchdog");
  expect_resumes(vm);
}

TEST(StoppedState, GuestPanicked) {
  AttachedGuest vm{{.fill = "none", .extra = {"-device", "pvpanic", "-action", "panic=pause"}}};
  vm.guest().monitor().human("o /b 0x505 1");
  ASSERT_TRUE(reaches(vm, "guest-panicked"));
  expect_stays(vm, "guest-panicked");
  expect_resumes(vm);
}

TEST(StoppedState, Shutdown_ResumeNamesTheReset) {
  AttachedGuest vm{{.fill = "none", .extra = {"-no-reboot", "-no-shutdown"}}};
  vm.guest().monitor().execute("system_reset");
  ASSERT_TRUE(reaches(vm, "shutdown"));
  expect_stays(vm, "shutdown");
  const auto resumed = vm.control().resume();
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(resumed.error().text, testing::HasSubstr("system_reset"));
}

/// It runs when something wakes it, so a pause that reported success would hold nothing.
TEST(StoppedState, Suspended_PauseIsRefusedAndNamesTheWakeUp) {
  AttachedGuest vm{{.fill = "none sleep"}};
  ASSERT_TRUE(reaches(vm, "suspended"));
  const auto status = vm.control().run_status();
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->may_start);
  const auto paused = vm.control().pause();
  if (state_of(vm) == "paused") { // QEMU 9 and later
    EXPECT_TRUE(paused);
    return;
  }
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(paused.error().text, testing::HasSubstr("system_wakeup"));
  EXPECT_FALSE(vm.control().resume());
  vm.guest().monitor().execute("system_wakeup");
  ASSERT_TRUE(reaches(vm, "running"));
  EXPECT_TRUE(vm.control().pause());
  EXPECT_EQ(state_of(vm), "paused");
}

TEST(StoppedState, TargetOfAMigration_ReportsThatItMayStart) {
  AttachedGuest vm{{.fill = "none", .extra = {"-incoming", "defer"}, .waits = true}};
  const auto status = vm.control().run_status();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->detail, "inmigrate");
  EXPECT_TRUE(status->may_start);
  EXPECT_TRUE(status->memory_changes);
  EXPECT_TRUE(status->by_command);
}

TEST(StoppedState, TargetStartedWithS_IsNotOursToResume) {
  AttachedGuest vm{{.fill = "none", .extra = {"-S", "-incoming", "defer"}, .waits = true}};
  const auto status = vm.control().run_status();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_FALSE(status->by_command);
}

} // namespace
} // namespace vmemfs::qemu
