// SPDX-License-Identifier: MIT
// A guest with a counter: it stops when paused and continues when resumed, and the monitor stays free for
// other clients.
#include "guests/tiny/layout.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace vmemfs::test {
namespace {

std::uint64_t counter(const Mount& mount) {
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto read = pread_at(mem.get(), TG_INFO_GPA + 8, 8);
  std::uint64_t value = 0;
  EXPECT_EQ(read.bytes.size(), sizeof(value));
  std::memcpy(&value, read.bytes.data(), std::min(sizeof(value), read.bytes.size()));
  return value;
}

class Pause : public testing::TestWithParam<bool> {};

TEST_P(Pause, Counter_StopsAndContinues) {
  QemuGuest guest{{}};
  const std::string keep = GetParam() ? ",keep=on" : "";
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}{}", guest.driver_socket(), keep)}};
  const std::uint64_t first = counter(mount);
  EXPECT_TRUE(eventually([&] { return counter(mount) != first; }));

  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  EXPECT_FALSE(guest.running());
  const std::uint64_t paused = counter(mount);
  std::this_thread::sleep_for(std::chrono::milliseconds{100});
  EXPECT_EQ(counter(mount), paused);
  EXPECT_THAT(read_file(mount / "vm/control"), testing::HasSubstr("state paused\npaused_by vmemfs\n"));

  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0);
  EXPECT_TRUE(guest.running());
  EXPECT_TRUE(eventually([&] { return counter(mount) != paused; }));

  guest.pause();
  EXPECT_TRUE(eventually([&] {
    return read_file(mount / "vm/control").find("state paused\npaused_by other\n") != std::string::npos;
  }));
  guest.resume();
}

INSTANTIATE_TEST_SUITE_P(Monitor, Pause, testing::Bool(),
                         [](const auto& subject) { return subject.param ? "kept" : "per_command"; });

TEST(Monitor, BetweenCommands_IsFreeForOthers) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(try_write(mount / "vm/control", i % 2 == 0 ? "pause\n" : "resume\n"), 0);
    TestMonitor other{guest.driver_socket()};
    EXPECT_EQ(other.execute("query-status")["running"].get<bool>(), i % 2 == 1);
  }
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0);
}

TEST(Monitor, HeldByOther_PauseTimesOutAsBusy_ReadsContinue) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={},timeout=3s", guest.driver_socket())}};
  {
    TestMonitor other{guest.driver_socket()};
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), EBUSY);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds{20});
    EXPECT_THAT(read_file(mount / "vm/control"), testing::HasSubstr("last_error"));
    const std::uint64_t now = counter(mount);
    EXPECT_TRUE(eventually([&] { return counter(mount) != now; }));
  }
  EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_EQ(try_write(mount / "vm/control", "resume\n"), 0);
}

TEST(Reset, OfTheGuest_IsDetected) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={},keep=on", guest.driver_socket())}};
  const std::string before = read_file(mount / "vm/info");
  guest.monitor().execute("system_reset");
  EXPECT_TRUE(eventually(
      [&] {
        const std::string serial = guest.serial();
        return serial.find("ready", serial.find("ready") + 1) != std::string::npos;
      },
      kGuestBoot));
  guest.pause();
  EXPECT_NE(read_file(mount / "vm/info"), before);
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_EQ(pread_at(mem.get(), TG_INFO_GPA, 4096).bytes, guest.pmemsave(TG_INFO_GPA, 4096));
}

} // namespace
} // namespace vmemfs::test
