// SPDX-License-Identifier: MIT
// The daemon is killed while it has paused a guest: the guest must run again.
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <algorithm>
#include <csignal>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace vmemfs::test {
namespace {

using std::chrono::milliseconds;

std::vector<pid_t> guardians(Mount& mount) { return children_of(mount.daemon().pid(), "vmemfs-guardian"); }

bool all_ended(const std::vector<pid_t>& pids) {
  return eventually([&] { return std::ranges::all_of(pids, has_ended); }, milliseconds{20000});
}

class KilledDaemon : public testing::TestWithParam<const char*> {};

TEST_P(KilledDaemon, LeavesNoGuestPaused) {
  QemuGuest guest{{}};
  for (int i = 0; i < 50; ++i) {
    Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}{}", guest.driver_socket(), GetParam())}};
    ASSERT_EQ(try_write(mount / "vm/control", i % 2 == 0 ? "pause\n" : "pause ttl=100s\n"), 0) << mount.log();
    ASSERT_FALSE(guest.running());
    const auto left = guardians(mount);
    ASSERT_EQ(left.size(), 1U);
    mount.kill_daemon();
    ASSERT_TRUE(eventually([&] { return guest.running(); }, milliseconds{20000})) << i;
    EXPECT_TRUE(all_ended(left));
  }
}

INSTANTIATE_TEST_SUITE_P(, KilledDaemon, testing::Values("", ",keep=on"),
                         [](const auto& monitor) { return monitor.param[0] == '\0' ? "Visits" : "Keeps"; });

TEST(KilledDaemonWithKeep, LeavesTheGuestPaused) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause keep\n"), 0);
  mount.kill_daemon();
  std::this_thread::sleep_for(milliseconds{1500});
  EXPECT_FALSE(guest.running());
}

TEST(EndedDaemon, ResumesGuestsWithoutKeep) {
  QemuGuest guest{{}};
  for (const bool keep : {false, true}) {
    Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
    ASSERT_EQ(try_write(mount / "vm/control", keep ? "pause keep\n" : "pause\n"), 0);
    EXPECT_FALSE(guest.running());
    const auto left = guardians(mount);
    EXPECT_EQ(mount.unmount(), 0);
    EXPECT_TRUE(all_ended(left));
    // Left to the guardian, if the daemon had no time for it.
    EXPECT_TRUE(keep ? !guest.running() : eventually([&] { return guest.running(); }));
  }
}

TEST(EndedDaemon, MonitorInUse_GuardianResumesTheGuest) {
  QemuGuest guest{{}};
  std::vector<pid_t> left;
  {
    Mount mount{{"--vm", fmt::format("vm=qemu:qmp={},timeout=3s", guest.driver_socket())}};
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
    left = guardians(mount);
    const TestMonitor taken{guest.driver_socket()};
    EXPECT_EQ(mount.unmount(), 0);
    EXPECT_FALSE(guest.running());
  }
  EXPECT_TRUE(eventually([&] { return guest.running(); }, milliseconds{20000}));
  EXPECT_TRUE(all_ended(left));
}

TEST(KilledDaemonAfterAReset, LeavesNoGuestPaused) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  guest.monitor().execute("system_reset"); // afterwards a paused guest is "prelaunch"
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return guest.running(); }, milliseconds{20000}));
}

} // namespace
} // namespace vmemfs::test
