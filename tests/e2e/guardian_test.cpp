// SPDX-License-Identifier: MIT
// A daemon that has paused a guest is killed: the guardian resumes the guest.
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>
#include <thread>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// It takes less than two seconds on a host that is not busy.
constexpr auto kPromise = 20s;

/// See tests/support/pausing_daemon.cpp. The guest is paused after construction.
class PausingDaemon {
public:
  explicit PausingDaemon(const QemuGuest& guest, const std::string& options = "",
                         const std::string& last = "stay")
      : process_{{VMEMFS_PAUSING_DAEMON, VMEMFS_PROGRAM,
                  fmt::format("vm=qemu:qmp={}{}", guest.driver_socket(), options), last},
                 dir_ / "output"} {
    if (!eventually([&] { return output().ends_with("\n") || process_.wait({}); }) ||
        output() != "paused\n") {
      throw std::runtime_error{"nothing was paused: " + output()};
    }
    guardian_ = the_guardian();
  }

  /// Waits for it, because a new guardian sets its process name only when it is ready.
  pid_t the_guardian() {
    std::vector<pid_t> found;
    static_cast<void>(eventually([&] {
      found = children_of(process_.pid(), "vmemfs-guardian");
      return found.size() == 1 && found.front() != guardian_;
    }));
    if (found.size() != 1) {
      throw std::runtime_error{fmt::format("{} guardians", found.size())};
    }
    return found.front();
  }

  void kill() {
    process_.signal(SIGKILL);
    killed_at_ = Clock::now();
    static_cast<void>(process_.wait(10s));
  }

  [[nodiscard]] Clock::time_point killed_at() const { return killed_at_; }
  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  [[nodiscard]] pid_t guardian() const { return guardian_; }
  [[nodiscard]] std::string output() const {
    return exists(dir_ / "output") ? read_file(dir_ / "output") : std::string{};
  }

private:
  TempDir dir_;
  ChildProcess process_;
  pid_t guardian_ = 0;
  Clock::time_point killed_at_;
};

/// The time from `begin` until the guest ran.
Clock::duration time_to_run(QemuGuest& guest, Clock::time_point begin) {
  EXPECT_TRUE(eventually([&] { return guest.running(); }));
  return Clock::now() - begin;
}

std::int64_t in_ms(Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

std::vector<std::string> list_tasks(pid_t pid) {
  std::vector<std::string> tasks;
  for (const auto& entry : std::filesystem::directory_iterator{fmt::format("/proc/{}/task", pid)}) {
    tasks.push_back(entry.path().filename());
  }
  return tasks;
}

class Guardian : public testing::TestWithParam<std::string> {};

TEST_P(Guardian, DaemonKilled_GuestIsResumed) {
  QemuGuest guest{{}};
  PausingDaemon daemon{guest, GetParam()};
  ASSERT_FALSE(guest.running());
  std::this_thread::sleep_for(200ms);
  ASSERT_FALSE(guest.running()); // not before

  daemon.kill();
  const auto took = time_to_run(guest, daemon.killed_at());
  EXPECT_LT(took, kPromise);
  RecordProperty("kill_to_run_ms", std::to_string(in_ms(took)));
  EXPECT_TRUE(eventually([&] { return has_ended(daemon.guardian()); }));
}

INSTANTIATE_TEST_SUITE_P(Monitor, Guardian, testing::Values("", ",keep=on"),
                         [](const auto& subject) { return subject.param.empty() ? "per_command" : "kept"; });

TEST(GuardianOfADaemonThatDiesSlowly, DoesNotWaitForItsLastFile) {
  QemuGuest guest{{}};
  PausingDaemon daemon{guest};
  const auto begin = Clock::now();
  ::kill(daemon.pid(), SIGTERM);
  EXPECT_LT(time_to_run(guest, begin), kPromise);
  EXPECT_THAT(list_tasks(daemon.pid()), testing::SizeIs(testing::Gt(1U))); // it still exists
}

TEST(GuardianOfADisarmedGuest, GuestIsNotChanged) {
  QemuGuest guest{{}};
  PausingDaemon daemon{guest, "", "disarm"};
  ASSERT_FALSE(guest.running());
  daemon.kill();
  // The guardian has ended, so nothing can change the guest any more.
  EXPECT_TRUE(eventually([&] { return has_ended(daemon.guardian()); }));
  EXPECT_FALSE(guest.running());
}

TEST(GuardianOfAGuestThatRuns, HasNothingToDo) {
  QemuGuest guest{{}};
  PausingDaemon daemon{guest};
  guest.resume();
  daemon.kill();
  EXPECT_TRUE(eventually([&] { return has_ended(daemon.guardian()); }));
  EXPECT_TRUE(guest.running());
}

TEST(GuardianOfABusyMonitor, ResumesWhenItIsFree) {
  QemuGuest guest{{}};
  PausingDaemon daemon{guest, ",timeout=3s"};
  Clock::time_point freed;
  {
    const TestMonitor other{guest.driver_socket()};
    daemon.kill();
    std::this_thread::sleep_for(1s);
    EXPECT_FALSE(guest.running());
    EXPECT_FALSE(has_ended(daemon.guardian()));
    freed = Clock::now();
  }
  EXPECT_LT(time_to_run(guest, freed), kPromise);
  EXPECT_TRUE(eventually([&] { return has_ended(daemon.guardian()); }));
}

TEST(GuardianThatIsKilled, IsReplacedByOneThatKnowsTheGuest) {
  QemuGuest guest{{}};
  PausingDaemon daemon{guest};
  ::kill(daemon.guardian(), SIGKILL);
  const pid_t second = daemon.the_guardian();
  ASSERT_NE(second, daemon.guardian());
  EXPECT_FALSE(guest.running());
  // Until it has the guest's ticket.
  ASSERT_TRUE(eventually([&] { return daemon.output().find("takes over") != std::string::npos; }));

  daemon.kill();
  EXPECT_LT(time_to_run(guest, daemon.killed_at()), kPromise);
  EXPECT_TRUE(eventually([&] { return has_ended(second); }));
}

TEST(GuardianThatIsKilled, IsReportedAndReplaced) {
  QemuGuest guest{{}};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  const auto guardians = [&] { return children_of(mount.daemon().pid(), "vmemfs-guardian"); };
  ASSERT_TRUE(eventually([&] { return guardians().size() == 1; }));
  ::kill(guardians().front(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return !line_with(mount.log(), "takes over").empty(); })) << mount.log();
  EXPECT_TRUE(eventually(
      [&] {
        return !line_with(read_file(mount / ".vmemfs/stats"), "vmemfs_events_total{event=\"error\"} 1")
                    .empty();
      },
      5s));
  EXPECT_TRUE(eventually([&] { return guardians().size() == 1; }));
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return guest.running(); }));
}

/// A guest stays paused only if the daemon had no time to replace its guardian.
TEST(GuardianDaemonAndMounter, KilledInAnyOrder_LeaveNoMount) {
  std::array<std::string, 3> order{"daemon", "guardian", "mounter"};
  do {
    QemuGuest guest{{}};
    Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
    const pid_t mounter = mount.mounter();
    const auto guardians = children_of(mount.daemon().pid(), "vmemfs-guardian");
    ASSERT_TRUE(eventually([&] { return children_of(mounter, "vmemfs-mount").size() == 1; }));
    ASSERT_THAT(guardians, testing::SizeIs(1));
    for (const std::string& which : order) {
      if (which == "daemon") {
        mount.kill_daemon();
      } else {
        ::kill(which == "guardian" ? guardians.front() : mounter, SIGKILL);
      }
    }
    EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }))
        << testing::PrintToString(order);
  } while (std::ranges::next_permutation(order).found);
}

TEST(GuardianWithTerminationSignals, StaysAndResumesTheGuest) {
  QemuGuest guest{{}};
  PausingDaemon daemon{guest};
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) {
    ::kill(daemon.guardian(), signal);
  }
  daemon.kill();
  EXPECT_LT(time_to_run(guest, daemon.killed_at()), kPromise);
}

TEST(GuardianOfAGuestThatEnds, EndsToo) {
  QemuGuest guest{{}};
  PausingDaemon daemon{guest};
  guest.process().signal(SIGKILL);
  ASSERT_TRUE(guest.process().wait(10s));
  daemon.kill();
  EXPECT_TRUE(eventually([&] { return has_ended(daemon.guardian()); }));
}

TEST(GuardianOfABusyMonitor, EndsWithTheGuest) {
  QemuGuest guest{{}};
  PausingDaemon daemon{guest};
  const TestMonitor other{guest.driver_socket()};
  daemon.kill();
  std::this_thread::sleep_for(100ms);
  EXPECT_FALSE(has_ended(daemon.guardian())); // it waits for the monitor
  guest.process().signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return has_ended(daemon.guardian()); }));
}

} // namespace
} // namespace vmemfs::test
