// SPDX-License-Identifier: MIT
// Processes that take long to attach must hold up nobody but their owner.
#include "attack/attacker_program.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <thread>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int kSockets = 2000;

class AttachAttack : public AttackTest {
protected:
  /// Four processes of the attacker, each with many monitors that accept connections and say nothing.
  void start_silent_ones() {
    for (const char* const name : {"a", "b", "c", "d"}) {
      std::filesystem::create_directory(silent_.dir() / name);
      give(silent_.dir() / name, kAttacker);
      silent_.start({"make", std::to_string(kSockets), silent_.dir() / name, name});
    }
  }

  AttackerProgram silent_{"silent_sockets"};
};

TEST_F(AttachAttack, SilentMonitors_OtherUsersVmIsAttachedSoon) {
  start_silent_ones();
  const Mount mount{{}, Discover::on};
  std::this_thread::sleep_for(3s); // all that can hang does
  GuestOptions options;
  options.user = kVictim;
  options.name = "honest";
  const QemuGuest honest{options};
  const auto start = Clock::now();
  EXPECT_TRUE(eventually([&] { return exists(mount / "honest/mem"); }, 10s));
  RecordProperty("ms", static_cast<int>((Clock::now() - start) / 1ms));
}

TEST_F(AttachAttack, SilentMonitors_DaemonEndsSoon) {
  start_silent_ones();
  Mount mount{{}, Discover::on};
  std::this_thread::sleep_for(1s);
  const auto start = Clock::now();
  mount.daemon().signal(SIGTERM);
  EXPECT_TRUE(mount.daemon().wait(20s).has_value());
  RecordProperty("ms", static_cast<int>((Clock::now() - start) / 1ms));
}

TEST_F(AttachAttack, SilentMonitors_ListEndsWithinItsLimit) {
  start_silent_ones();
  const auto start = Clock::now();
  const auto listed = run({"timeout", "-s", "KILL", "40", VMEMFS_PROGRAM, "list"});
  EXPECT_LT(Clock::now() - start, 25s) << listed.text;
}

} // namespace
} // namespace vmemfs::test
