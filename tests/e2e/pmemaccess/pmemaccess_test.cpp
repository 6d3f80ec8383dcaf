// SPDX-License-Identifier: MIT
// The driver `pmemaccess` in a mount, over a simulator of a patched QEMU.
#include "simulators/pmemaccess/simulator.h"
#include "support/files.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using pmemaccess_simulator::Simulator;
using testing::HasSubstr;
using testing::IsEmpty;

std::string vm_at(const std::string& params) { return fmt::format("vm=pmemaccess:{},timeout=20s", params); }

TEST(Pmemaccess, MemoryMapRegistersAndPause_AreThoseOfQemu) {
  TempDir dir;
  Simulator qemu{dir / "qmp"};
  Mount mount{{"--writable", "--vm", vm_at("qmp=" + dir / "qmp")}};
  UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDWR | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  for (const std::uint64_t address :
       {0UL, 0x9f000UL, 0xc0000UL, 0x7ffdf000UL, 0x100000000UL, 0x17ffff000UL}) {
    EXPECT_EQ(pread_at(mem.get(), address, 4096).bytes, qemu.guest().bytes(address, 4096))
        << std::hex << address;
  }
  EXPECT_EQ(pread_at(mem.get(), 0x100ff0, 1 << 20).bytes, qemu.guest().bytes(0x100ff0, 1 << 20));
  EXPECT_EQ(pread_at(mem.get(), 0xa0000, 16).error, EIO);
  EXPECT_THAT(read_file(mount / "vm/maps"), HasSubstr("0000000100000000-0000000180000000 rw- ram pc.ram"));
  EXPECT_THAT(read_file(mount / "vm/vcpus/1/regs"), HasSubstr("rip 0x0000000000001001"));
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_FALSE(qemu.running());
  const std::vector<std::byte> bytes(5000, std::byte{0x5a});
  EXPECT_EQ(::pwrite(mem.get(), bytes.data(), bytes.size(), 0x200100), 5000) << mount.log();
  EXPECT_EQ(qemu.guest().bytes(0x200100, 5000), bytes);
  EXPECT_EQ(pread_at(mem.get(), 0x200100, 5000).bytes, bytes);
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  EXPECT_TRUE(qemu.running());
  mem.reset();
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_TRUE(eventually([&] { return qemu.seen().quits == 1; }));
  EXPECT_THAT(qemu.seen().violations, IsEmpty());
}

TEST(Pmemaccess, SocketAlone_HasTheUsersMapAndMemory) {
  TempDir dir;
  Simulator qemu{dir / "qmp"};
  qemu.open_memory(dir / "memory");
  Mount mount{{"--vm", vm_at("socket=" + dir / "memory" + ",maps=\"0-0xa0000,0x100000-0x7ffe0000\"")}};
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  EXPECT_EQ(pread_at(mem.get(), 0x100000, 65536).bytes, qemu.guest().bytes(0x100000, 65536));
  EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), EOPNOTSUPP);
  EXPECT_THAT(qemu.seen().commands, IsEmpty());
}

TEST(Pmemaccess, PausedGuestWithAKeptMonitor_IsReadOnce_UntilOthersResumeIt) {
  TempDir dir;
  Simulator qemu{dir / "qmp", {.latency = std::chrono::milliseconds{1}}};
  Mount mount{{"--vm", vm_at("keep=on,qmp=" + dir / "qmp")}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  const auto reads = [&] {
    const auto before = qemu.seen().reads;
    EXPECT_EQ(pread_at(mem.get(), 0x200000, 65536).bytes, qemu.guest().bytes(0x200000, 65536));
    return qemu.seen().reads - before;
  };
  EXPECT_GE(reads(), 1U);
  EXPECT_EQ(reads(), 0U) << "from the page cache";
  qemu.set_running(true);
  EXPECT_TRUE(eventually([&] { return reads() > 0; })) << "nothing is cached while it runs";
}

TEST(Pmemaccess, DaemonKilledDuringAPause_TheGuestRuns) {
  TempDir dir;
  Simulator qemu{dir / "qmp"};
  Mount mount{{"--vm", vm_at("qmp=" + dir / "qmp")}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_FALSE(qemu.running());
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return qemu.running(); }));
}

TEST(Pmemaccess, QemuEnds_TheDirectoryGoes) {
  TempDir dir;
  Simulator qemu{dir / "qmp"};
  Mount mount{{"--vm", vm_at("qmp=" + dir / "qmp")}};
  EXPECT_TRUE(exists(mount / "vm/mem")) << mount.log();
  qemu.end();
  EXPECT_TRUE(eventually([&] { return !exists(mount / "vm"); })) << mount.log();
}

TEST(Pmemaccess, UnpatchedQemu_IsRefused) {
  TempDir dir;
  Simulator qemu{dir / "qmp", {.patched = false}};
  Mount mount{{"--vm", "other=fake:size=16M"}};
  EXPECT_EQ(try_write(mount / ".vmemfs/control", "attach " + vm_at("qmp=" + dir / "qmp") + "\n"), EOPNOTSUPP);
  EXPECT_FALSE(exists(mount / "vm"));
}

/// Without the ranges of devices.
std::string memory_of(const std::string& maps) {
  std::istringstream lines{maps};
  std::string memory;
  for (std::string line; std::getline(lines, line);) {
    memory += line.find(" device ") == std::string::npos ? line + "\n" : "";
  }
  return memory;
}

/// Of Debian's QEMU, which has no patch.
TEST(Pmemaccess, RealMonitor_RefusesTheCommand_AndHasMapRegistersAndPause) {
  GuestOptions options;
  options.extra = {"-smp", "2"};
  QemuGuest guest{options};
  TempDir dir;
  Simulator memory{dir / "qmp"};
  memory.open_memory(dir / "memory");
  Mount mount{{"--vm", fmt::format("qemu=qemu:pid={}", guest.pid())}};
  const std::string control = mount / ".vmemfs/control";
  const std::string by_monitor = vm_at("qmp=" + guest.driver_socket());
  EXPECT_EQ(try_write(control, "attach " + by_monitor + "\n"), EOPNOTSUPP);
  EXPECT_FALSE(exists(mount / "vm"));
  ASSERT_EQ(try_write(control, "attach " + by_monitor + ",socket=" + dir / "memory" + "\n"), 0)
      << mount.log();
  EXPECT_EQ(memory_of(read_file(mount / "vm/maps")), memory_of(read_file(mount / "qemu/maps")));
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_FALSE(guest.running());
  EXPECT_THAT(read_file(mount / "vm/vcpus/0/regs"), HasSubstr("rip 0x"));
  EXPECT_EQ(read_file(mount / "vm/vcpus/1/regs"), read_file(mount / "qemu/vcpus/1/regs"));
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  EXPECT_TRUE(guest.running());
}

} // namespace
} // namespace vmemfs::test
