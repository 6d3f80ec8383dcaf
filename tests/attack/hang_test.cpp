// SPDX-License-Identifier: MIT
// One VM does not answer: neither the others nor the daemon's end may wait for it.
#include "attack/attack.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "support/users.h"
#include "util/unique_fd.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <iterator>
#include <memory>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

/// A VM with memory that does not answer while a test runs, and one without fault.
const std::vector<std::string> kSilentAndHealthy{"--vm", "silent=fake:size=16M,delay=300s", "--vm",
                                                 "healthy=fake:size=16M"};
/// More than there are threads for requests.
constexpr const char* kManyReaders = "300";
/// Within this a healthy VM and the mount answer, whatever else hangs.
const std::string kSoon = "20";
/// Within this the daemon ends: after five seconds on a host with time.
constexpr seconds kEndLimit{20};

class HangAttack : public AttackTest {
protected:
  /// Programs that use the mount; ended after it, as some are held by it.
  ChildProcess& start(const std::vector<std::string>& command) {
    children_.push_back(std::make_unique<ChildProcess>(command, dir_ / "log"));
    return *children_.back();
  }

  /// The exit code of a command: 124 if it took too long. As one of its own, so that a hang of it hangs
  /// nothing here.
  static int soon(const std::vector<std::string>& command) {
    std::vector<std::string> limited{"timeout", "-s", "KILL", kSoon};
    limited.insert(limited.end(), command.begin(), command.end());
    return run(limited).code;
  }

  static void expect_others_unaffected(const Mount& mount) {
    EXPECT_EQ(soon({"ls", "-l", mount.path(), mount / "silent", mount / "healthy"}), 0);
    EXPECT_EQ(soon({"head", "-c", "65536", mount / "healthy/mem"}), 0);
    EXPECT_EQ(soon({"cat", mount / "healthy/control", mount / "healthy/info"}), 0);
    EXPECT_EQ(soon({"cat", mount / ".vmemfs/control"}), 0);
    EXPECT_EQ(
        soon({"sh", "-c", fmt::format("echo pause > {0} && echo resume > {0}", mount / "healthy/control")}),
        0);
  }

private:
  const TempDir dir_;
  std::vector<std::unique_ptr<ChildProcess>> children_;
};

/// Waits until `requests` are under way: they leave no trace that could be waited for.
void let_requests_hang() { ::usleep(500'000); }

TEST_F(HangAttack, ReadsOfSilentVm_OthersAnswer) {
  const Mount mount{kSilentAndHealthy};
  start({hostile("readers"), kManyReaders, mount / "silent/mem"});
  let_requests_hang();
  expect_others_unaffected(mount);
  EXPECT_EQ(soon({"cat", mount / "silent/control", mount / "silent/maps"}), 0);
}

TEST_F(HangAttack, BatchesOfSilentVm_ItsCommandsAndOthersAnswer) {
  const Mount mount{kSilentAndHealthy};
  constexpr int kBatches = 60; // more than a VM's share of the threads
  std::vector<ChildProcess*> batches;
  for (int i = 0; i < kBatches; ++i) {
    batches.push_back(
        &start({"sh", "-c", fmt::format("exec 3<>{}; echo 0 8 >&3; exec cat <&3", mount / "silent/batch")}));
  }
  let_requests_hang();
  expect_others_unaffected(mount);
  EXPECT_EQ(soon({"cat", mount / "silent/control", mount / "silent/maps"}), 0);
  // The kernel has writes of one file wait for each other, and who waits for that cannot be killed.
  EXPECT_EQ(soon({"sh", "-c", fmt::format("exec 3<>{}; echo 0 8 >&3", mount / "silent/batch")}), 0);
  batches.front()->signal(SIGKILL);
  EXPECT_TRUE(batches.front()->wait(seconds{20}));
  EXPECT_EQ(soon({"sh", "-c", fmt::format("echo detach > {}", mount / "silent/control")}), 0);
  for (ChildProcess* const batch : batches) {
    EXPECT_TRUE(batch->wait(seconds{20}));
  }
}

TEST_F(HangAttack, BatchWriteWhileItsReadWaits_FailsSoon) {
  const Mount mount{kSilentAndHealthy};
  const UniqueFd batch{::open((mount / "silent/batch").c_str(), O_RDWR | O_CLOEXEC)};
  constexpr std::string_view kRequest = "0 8\n";
  const auto request = [&] { return ::pwrite(batch.get(), kRequest.data(), kRequest.size(), 0); };
  ASSERT_EQ(request(), std::ssize(kRequest));
  std::thread reader{[&] {
    std::array<char, 64> answer{};
    EXPECT_EQ(::pread(batch.get(), answer.data(), answer.size(), 0), -1);
  }};
  let_requests_hang();
  EXPECT_EQ(request(), -1);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_THAT(read_file(mount / "silent/control"), HasSubstr("last_error batch: a read of this open file"));
  EXPECT_EQ(soon({"sh", "-c", fmt::format("exec 3<>{}; echo 0 8 >&3", mount / "silent/batch")}), 0);
  EXPECT_EQ(soon({"sh", "-c", fmt::format("echo detach > {}", mount / "silent/control")}), 0);
  reader.join();
}

TEST_F(HangAttack, ReadersOfSilentVm_CanBeKilled) {
  const Mount mount{kSilentAndHealthy};
  ChildProcess& one = start({"head", "-c", "4096", mount / "silent/mem"});
  ChildProcess& many = start({hostile("readers"), kManyReaders, mount / "silent/mem"});
  let_requests_hang();
  one.signal(SIGKILL);
  many.signal(SIGKILL);
  EXPECT_TRUE(one.wait(seconds{20}).has_value());
  EXPECT_TRUE(many.wait(seconds{20}).has_value());
}

TEST_F(HangAttack, DetachOfSilentVm_EndsItsReads) {
  const Mount mount{kSilentAndHealthy};
  ChildProcess& many = start({hostile("readers"), kManyReaders, mount / "silent/mem"});
  let_requests_hang();
  EXPECT_EQ(soon({"sh", "-c", fmt::format("echo detach > {}", mount / "silent/control")}), 0);
  EXPECT_TRUE(many.wait(seconds{20}).has_value());
}

TEST_F(HangAttack, ReadsOfSilentVm_DaemonEndsAndPausedGuestRuns) {
  QemuGuest guest{{}};
  Mount mount{joined(kSilentAndHealthy,
                     {"--vm", fmt::format("guest=qemu:pid={},qmp={}", guest.pid(), guest.driver_socket())})};
  ASSERT_EQ(try_write(mount / "guest/control", "pause\n"), 0);
  ASSERT_FALSE(guest.running());
  ChildProcess& many = start({hostile("readers"), kManyReaders, mount / "silent/mem"});
  let_requests_hang();
  mount.daemon().signal(SIGTERM);
  EXPECT_TRUE(eventually([&] { return guest.running(); }, kEndLimit));
  EXPECT_EQ(mount.daemon().wait(kEndLimit), 0);
  EXPECT_TRUE(many.wait(seconds{20}).has_value());
}

TEST_F(HangAttack, UnmountAfterKilledReaders_DaemonEnds) {
  Mount mount{kSilentAndHealthy};
  ChildProcess& many = start({hostile("readers"), kManyReaders, mount / "silent/mem"});
  let_requests_hang();
  many.signal(SIGKILL);
  ASSERT_TRUE(many.wait(seconds{20}).has_value());
  const auto begin = steady_clock::now();
  EXPECT_EQ(mount.unmount(), 0); // the threads for the reads still hang
  EXPECT_LT(steady_clock::now() - begin, kEndLimit);
}

/// VMs that hang with their monitor, and one without fault.
class HungMonitors : public HangAttack {
protected:
  static constexpr int kHung = 6;

  HungMonitors() {
    for (int i = 0; i <= kHung; ++i) {
      guests_.push_back(std::make_unique<QemuGuest>(GuestOptions{.memory = "16M", .fill = "none"}));
      args_.insert(args_.end(), {"--vm", fmt::format("vm{}=qemu:pid={},qmp={}", i, guests_[i]->pid(),
                                                     guests_[i]->driver_socket())});
    }
  }
  ~HungMonitors() override { signal_hung(SIGCONT); }

  void signal_hung(int signal) {
    for (int i = 1; i <= kHung; ++i) {
      guests_[static_cast<std::size_t>(i)]->process().signal(signal);
    }
  }
  [[nodiscard]] QemuGuest& healthy() { return *guests_.front(); }
  [[nodiscard]] const std::vector<std::string>& args() const { return args_; }

private:
  std::vector<std::unique_ptr<QemuGuest>> guests_;
  std::vector<std::string> args_;
};

TEST_F(HungMonitors, TimedPauseOfHealthyVm_EndsInTime) {
  const Mount mount{args()};
  for (int i = 1; i <= kHung; ++i) {
    ASSERT_EQ(try_write(mount / fmt::format("vm{}/control", i), "pause ttl=700ms\n"), 0);
  }
  signal_hung(SIGSTOP); // the ends of their pauses have nobody to ask
  ASSERT_EQ(try_write(mount / "vm0/control", "pause ttl=10s\n"), 0);
  ASSERT_FALSE(healthy().running());
  const auto begin = steady_clock::now();
  EXPECT_TRUE(eventually([&] { return healthy().running(); }, seconds{60}));
  EXPECT_LT(steady_clock::now() - begin, seconds{20});
  signal_hung(SIGCONT);
}

TEST_F(HungMonitors, PausedByUs_DaemonEndsInTimeAndHealthyRunsFirst) {
  Mount mount{args()};
  for (int i = 0; i <= kHung; ++i) {
    ASSERT_EQ(try_write(mount / fmt::format("vm{}/control", i), "pause\n"), 0);
  }
  signal_hung(SIGSTOP);
  mount.daemon().signal(SIGTERM);
  EXPECT_TRUE(eventually([&] { return healthy().running(); }, seconds{4}));
  EXPECT_TRUE(mount.daemon().wait(kEndLimit).has_value());
  signal_hung(SIGCONT);
}

/// The end of a timed pause notices that a VM is gone while the command that detaches it still resumes it.
TEST_F(HungMonitors, DetachWhileMonitorsHang_IsNotAnsweredAsTheVmsEnd) {
  const Mount mount{args()};
  for (int i = 1; i <= kHung; ++i) {
    ASSERT_EQ(try_write(mount / fmt::format("vm{}/control", i), "pause ttl=1s\n"), 0);
  }
  let_requests_hang();
  signal_hung(SIGSTOP);
  std::vector<int> errors(kHung, -1);
  {
    std::vector<std::jthread> detaching;
    for (int i = 1; i <= kHung; ++i) {
      detaching.emplace_back([&mount, &error = errors[static_cast<std::size_t>(i - 1)], i] {
        error = try_write(mount / fmt::format("vm{}/control", i), "detach\n");
      });
    }
    ::usleep(1'200'000);
    signal_hung(SIGCONT);
  }
  EXPECT_EQ(errors, std::vector<int>(kHung, 0));
  EXPECT_EQ(soon({"ls", mount / "vm1"}), 2); // there is none
}

/// Such reads are requests in the background, of which the kernel lets a mount have a limited number.
TEST_F(HangAttack, CachedReadsOfSilentVm_OtherCachedReadsAnswer) {
  const TempDir dir;
  write_file(dir / "raw", std::string(std::size_t{1} << 20U, 'x'));
  const Mount mount{{"--vm", "silent=fake:size=64M,delay=300s", "--vm", "healthy=fake:size=16M", "--vm",
                     fmt::format("dump=dump:path={},format=raw", dir / "raw")}};
  ASSERT_EQ(try_write(mount / "silent/control", "pause\n"), 0);
  start({hostile("readers"), kManyReaders, mount / "silent/mem", "131072"});
  let_requests_hang();
  EXPECT_EQ(soon({"head", "-c", "65536", mount / "dump/mem"}), 0);
  expect_others_unaffected(mount);
}

/// The kernel has the page locked, and waits for it if it is to drop the file's pages.
TEST_F(HangAttack, PageIsAwaited_AttributesAndOpenReturn) {
  const Mount mount{kSilentAndHealthy};
  start({hostile("readers"), kManyReaders, mount / "silent/mem"}); // so that the page is queued
  let_requests_hang();
  start({hostile("toucher"), mount / "silent/mem"});
  let_requests_hang();
  EXPECT_EQ(soon({"stat", mount / "silent/mem"}), 0);
  EXPECT_EQ(soon({"ls", "-l", mount / "silent"}), 0);
  EXPECT_EQ(soon({"sh", "-c", fmt::format(": < {}", mount / "silent/mem")}), 0);
}

TEST_F(HangAttack, FlushWhilePageIsAwaited_OthersUnaffected) {
  const Mount mount{kSilentAndHealthy};
  start({hostile("toucher"), mount / "silent/mem"});
  let_requests_hang();
  ASSERT_EQ(soon({"sh", "-c", fmt::format("echo flush > {}", mount / "silent/control")}), 0);
  let_requests_hang();
  expect_others_unaffected(mount);
  const auto begin = steady_clock::now();
  EXPECT_EQ(
      soon({"sh", "-c", fmt::format("echo pause > {0} && echo resume > {0}", mount / "healthy/control")}), 0);
  EXPECT_LT(steady_clock::now() - begin, seconds{5});
  EXPECT_EQ(soon({"sh", "-c", fmt::format("echo detach > {}", mount / "healthy/control")}), 0);
  EXPECT_TRUE(eventually([&] { return !exists(mount / "healthy"); }, seconds{20}));
}

/// A thread of the daemon waits for another filesystem, whose server does not run, and no signal ends that:
/// its descriptors, so also the mount's, stay open when the daemon has been killed.
TEST_F(HangAttack, DaemonKilledWithUnkillableThread_LeavesNoHungMount) {
  Mount other{{"--vm", "source=fake:size=16M"}};
  Mount mount{{"--vm", fmt::format("vm=dump:path={}", other / "source/mem"), "--vm", "healthy=fake"}};
  other.daemon().signal(SIGSTOP);
  ChildProcess& reader = start({"head", "-c", "4096", mount / "vm/mem"});
  let_requests_hang();
  EXPECT_EQ(soon({"head", "-c", "65536", mount / "healthy/mem"}), 0);
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }, seconds{20}));
  EXPECT_TRUE(reader.wait(seconds{20}).has_value());
  EXPECT_FALSE(mount.daemon().wait(milliseconds{1}).has_value()); // else this shows nothing
  other.daemon().signal(SIGCONT);
  EXPECT_TRUE(mount.daemon().wait(seconds{20}).has_value());
}

TEST_F(HangAttack, DaemonKilledWhilePageIsAwaited_LeavesNoHungMount) {
  Mount mount{kSilentAndHealthy};
  ChildProcess& toucher = start({hostile("toucher"), mount / "silent/mem"});
  let_requests_hang();
  ASSERT_EQ(soon({"sh", "-c", fmt::format("echo flush > {}", mount / "silent/control")}), 0);
  let_requests_hang();
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }, seconds{20}));
  EXPECT_TRUE(mount.daemon().wait(seconds{20}).has_value());
  EXPECT_TRUE(toucher.wait(seconds{20}).has_value());
}

} // namespace
} // namespace vmemfs::test
