// SPDX-License-Identifier: MIT
// The driver `gdbstub` in a mount, with the stub of a real QEMU; the truth comes from QEMU's monitor.
#include "e2e/gdbstub/served_guest.h"
#include "guests/tiny/layout.h"
#include "support/free_port.h"
#include "support/gdb/gdb_client.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <regex>
#include <string>
#include <thread>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

UniqueFd open_memory(const Mount& mount) {
  return UniqueFd{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
}

void expect_memory(const Mount& mount, QemuGuest& guest, std::uint64_t begin, std::size_t size) {
  const UniqueFd mem = open_memory(mount);
  ASSERT_TRUE(mem) << mount.log();
  EXPECT_EQ(pread_at(mem.get(), begin, size).bytes, guest.pmemsave(begin, size))
      << std::hex << begin << mount.log();
}

/// Values of `info registers` for the first vCPU, by their names there.
std::map<std::string, std::uint64_t> monitor_registers(QemuGuest& guest) {
  const std::string text = guest.monitor().human("info registers");
  std::map<std::string, std::uint64_t> found;
  const std::regex pattern{R"(\b([A-Z][A-Z0-9]*) *= *([0-9a-f]+))"};
  for (std::sregex_iterator it{text.begin(), text.end(), pattern}, end; it != end; ++it) {
    found.emplace((*it)[1], std::stoull((*it)[2], nullptr, 16));
  }
  return found;
}

TEST(Gdbstub, Memory_IsThatOfTheMonitor) {
  ServedGuest served;
  Mount mount{{"--vm", served.vm()}};
  EXPECT_FALSE(served.guest().running()) << "connecting stops the guest";
  EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("state stopped"));
  expect_memory(mount, served.guest(), 0, 640 << 10);
  expect_memory(mount, served.guest(), 1 << 20, 63 << 20);
  const UniqueFd mem = open_memory(mount);
  EXPECT_EQ(pread_at(mem.get(), 0xa0000, 16).error, EIO) << "what is not in maps= is not read";
  EXPECT_THAT(read_file(mount / "vm/info"), HasSubstr("guest physical addresses"));
}

TEST(Gdbstub, Registers_AreThoseOfTheMonitor) {
  ServedGuest served;
  Mount mount{{"--vm", served.vm()}};
  const std::string regs = read_file(mount / "vm/vcpus/0/regs");
  auto expected = monitor_registers(served.guest());
  for (const char* const name :
       {"RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP", "R8",  "R9",  "R10",
        "R11", "R12", "R13", "R14", "R15", "RIP", "CR0", "CR2", "CR3", "CR4", "EFER"}) {
    std::string ours{name};
    std::ranges::transform(ours, ours.begin(), [](unsigned char c) { return std::tolower(c); });
    ASSERT_TRUE(expected.contains(name)) << name;
    EXPECT_THAT(regs, HasSubstr(fmt::format("{} {:#018x}\n", ours, expected[name])));
  }
  EXPECT_THAT(regs, HasSubstr(fmt::format("rflags {:#018x}\n", expected["RFL"])));
  EXPECT_THAT(regs, HasSubstr(fmt::format("cs.selector {:#018x}\n", expected["CS"])));
  EXPECT_THAT(regs, testing::Not(HasSubstr("gdt.base"))) << "what the stub does not have is absent";
}

TEST(Gdbstub, ResumeAndPause_CounterGoesOnAndStops) {
  ServedGuest served;
  Mount mount{{"--vm", served.vm()}};
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  EXPECT_TRUE(served.counts());
  EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("state running"));

  const UniqueFd mem = open_memory(mount);
  EXPECT_EQ(pread_at(mem.get(), 1 << 20, 4096).error, EIO) << "a running target is not asked";
  EXPECT_THAT(mount.log(), HasSubstr("cannot read memory: the target runs"));
  EXPECT_TRUE(served.guest().running());
  EXPECT_TRUE(exists(mount / "vm/vcpus/0/regs"));

  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_FALSE(served.guest().running());
  const std::uint64_t paused = served.counter();
  std::this_thread::sleep_for(std::chrono::milliseconds{100});
  EXPECT_EQ(served.counter(), paused);
  EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("paused_by vmemfs"));
  expect_memory(mount, served.guest(), TG_INFO_GPA, 4096);
}

TEST(Gdbstub, StoppedByTheMonitorWhileRunning_IsNoticed) {
  ServedGuest served;
  Mount mount{{"--vm", served.vm()}};
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  served.guest().pause();
  EXPECT_TRUE(
      eventually([&] { return read_file(mount / "vm/control").find("state stopped") != std::string::npos; }));
  expect_memory(mount, served.guest(), TG_INFO_GPA, 4096);
}

/// QEMU loses the request that stops its guest; its reply must not be taken from the next one.
TEST(Gdbstub, ResumedByTheMonitor_NextReadHasTheRightBytes_AndItRunsOn) {
  ServedGuest served;
  Mount mount{{"--vm", served.vm()}};
  constexpr std::uint64_t kPattern = 16 << 20; // it does not change there
  const auto truth = served.guest().pmemsave(kPattern, 256 << 10);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
    EXPECT_FALSE(served.guest().running());
    served.guest().resume();
    const UniqueFd mem = open_memory(mount);
    const auto read = pread_at(mem.get(), kPattern, 256 << 10);
    EXPECT_EQ(read.bytes, truth) << mount.log();
    EXPECT_TRUE(served.guest().running());
    EXPECT_EQ(pread_at(mem.get(), 1 << 20, 4096).error, EIO) << "it is known to run";
    EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("state running"));
  }
}

/// The one that resumed it wants it to run, though it was found paused.
TEST(Gdbstub, FoundPausedAndResumedByTheMonitor_IsLeftRunning) {
  ServedGuest served;
  served.guest().pause();
  Mount mount{{"--vm", served.vm()}};
  served.guest().resume();
  expect_memory(mount, served.guest(), 1 << 20, 4096);
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_TRUE(served.guest().running());
}

TEST(Gdbstub, Unmount_LeavesTheGuestAsItWasFound) {
  ServedGuest served;
  {
    Mount mount{{"--vm", served.vm()}};
    EXPECT_FALSE(served.guest().running());
    EXPECT_EQ(mount.unmount(), 0);
  }
  EXPECT_TRUE(served.guest().running());
  served.guest().pause();
  {
    Mount mount{{"--vm", served.vm()}};
    EXPECT_EQ(mount.unmount(), 0);
  }
  EXPECT_FALSE(served.guest().running()) << "it was paused before";
  {
    Mount mount{{"--vm", served.vm(",leave=running")}};
    EXPECT_EQ(mount.unmount(), 0);
  }
  EXPECT_TRUE(served.guest().running());
  {
    Mount mount{{"--vm", served.vm(",leave=stopped")}};
    EXPECT_EQ(mount.unmount(), 0);
  }
  EXPECT_FALSE(served.guest().running());
}

TEST(Gdbstub, GuestIsReset_ReadsAndPausesGoOn) {
  ServedGuest served;
  Mount mount{{"--vm", served.vm()}};
  served.guest().monitor().execute("system_reset");
  expect_memory(mount, served.guest(), TG_INFO_GPA, 4096);
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  served.guest().monitor().execute("system_reset");
  EXPECT_TRUE(served.guest().running());
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_FALSE(served.guest().running());
  expect_memory(mount, served.guest(), 0, 640 << 10);
  EXPECT_THAT(read_file(mount / "vm/vcpus/0/regs"), HasSubstr("rip 0x"));
}

TEST(Gdbstub, AfterwardsTheStubHasVirtualAddressesAgain) {
  ServedGuest served;
  {
    Mount mount{{"--vm", served.vm()}};
    expect_memory(mount, served.guest(), 1 << 20, 4096);
    EXPECT_EQ(mount.unmount(), 0);
  }
  EXPECT_EQ(GdbClient{served.stub()}.ask("qqemu.PhyMemMode"), "0");
}

TEST(Gdbstub, DaemonKilled_GuardianEndsItsPauses) {
  ServedGuest served;
  {
    Mount mount{{"--vm", served.vm()}};
    EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("paused_by vmemfs"));
    mount.kill_daemon();
    EXPECT_TRUE(eventually([&] { return served.guest().running(); })) << "connecting had stopped it";
  }
  {
    Mount mount{{"--vm", served.vm()}};
    ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
    mount.kill_daemon();
  }
  EXPECT_TRUE(served.counts()) << "what runs goes on";
  {
    Mount mount{{"--vm", served.vm()}};
    ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
    mount.kill_daemon();
    EXPECT_TRUE(eventually([&] { return served.guest().running(); }));
  }
  served.guest().pause();
  {
    Mount mount{{"--vm", served.vm()}};
    EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("paused_by other"));
    mount.kill_daemon();
  }
  EXPECT_FALSE(served.guest().running()) << "it was paused before";
}

TEST(Gdbstub, OverTcp_TheSame) {
  const unsigned port = free_port();
  GuestOptions options;
  options.extra = {"-gdb", fmt::format("tcp:127.0.0.1:{}", port)};
  QemuGuest guest{options};
  Mount mount{{"--vm", fmt::format("vm=gdbstub:address=127.0.0.1:{},timeout=60s,maps={}", port, kMaps)}};
  expect_memory(mount, guest, 1 << 20, 1 << 20);
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  EXPECT_TRUE(guest.running());
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_FALSE(guest.running());
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return guest.running(); })) << "the guardian has the network, too";
}

TEST(Gdbstub, PluggedVcpu_IsThereAfterRefresh_ByItsIndex) {
  GuestOptions options;
  options.extra = {"-smp", "2,maxcpus=4"};
  ServedGuest served{options};
  Mount mount{{"--vm", served.vm()}};
  served.guest().plug_vcpu(3);
  ASSERT_EQ(try_write(mount / "vm/control", "refresh\n"), 0) << mount.log();
  EXPECT_TRUE(eventually([&] { return exists(mount / "vm/vcpus/3"); }));
  EXPECT_FALSE(exists(mount / "vm/vcpus/2"));
  EXPECT_THAT(read_file(mount / "vm/vcpus/3/regs"), HasSubstr("rip 0x"));
}

TEST(Gdbstub, GuestEnds_DirectoryGoes) {
  ServedGuest served;
  Mount mount{{"--vm", served.vm()}};
  const UniqueFd mem = open_memory(mount);
  served.guest().process().signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return !exists(mount / "vm"); })) << mount.log();
  EXPECT_EQ(pread_at(mem.get(), 1 << 20, 16).error, ENODEV);
}

} // namespace
} // namespace vmemfs::test
