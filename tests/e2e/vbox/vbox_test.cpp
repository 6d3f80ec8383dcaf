// SPDX-License-Identifier: MIT
// The driver `vbox` in a mount, over a simulator of a VirtualBox with the FDP patch.
#include "simulators/fdp/simulator.h"
#include "support/files.h"
#include "support/mount.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using fdp_simulator::Simulator;
using testing::HasSubstr;
using testing::IsEmpty;

std::string vm_at(const Simulator& vm, const std::string& more = ",timeout=20s") {
  return fmt::format("vm=vbox:name={}{}", vm.name(), more);
}

TEST(Vbox, MemoryMapRegistersAndPause_AreThoseOfTheVm) {
  Simulator vm{Simulator::unique_name()};
  Mount mount{{"--writable", "--vm", vm_at(vm)}};
  UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDWR | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  for (const std::uint64_t address :
       {0UL, 0x9f000UL, 0xc0000UL, 0xdffff000UL, 0x100000000UL, 0x15ffff000UL}) {
    EXPECT_EQ(pread_at(mem.get(), address, 4096).bytes, vm.guest().bytes(address, 4096))
        << std::hex << address;
  }
  EXPECT_EQ(pread_at(mem.get(), 0x100ff0, 1 << 20).bytes, vm.guest().bytes(0x100ff0, 1 << 20));
  EXPECT_EQ(pread_at(mem.get(), 0xa0000, 16).error, EIO);
  EXPECT_EQ(pread_at(mem.get(), 0xe0000000, 16).error, EIO);
  EXPECT_THAT(read_file(mount / "vm/maps"), HasSubstr("0000000100000000-0000000160000000 rw- ram ram"));
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_TRUE(vm.guest().paused);
  EXPECT_THAT(read_file(mount / "vm/vcpus/1/regs"),
              HasSubstr(fmt::format("rip 0x{:016x}", vm.guest().get_register(1, 16))));
  const std::vector<std::byte> bytes(5000, std::byte{0x5a});
  EXPECT_EQ(::pwrite(mem.get(), bytes.data(), bytes.size(), 0x200100), 5000) << mount.log();
  EXPECT_EQ(vm.guest().bytes(0x200100, 5000), bytes);
  EXPECT_EQ(pread_at(mem.get(), 0x200100, 5000).bytes, bytes);
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  EXPECT_FALSE(vm.guest().paused);
  mem.reset();
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_THAT(vm.seen().violations, IsEmpty());
}

TEST(Vbox, PausedWhenUnmounted_TheGuestRuns) {
  Simulator vm{Simulator::unique_name()};
  Mount mount{{"--vm", vm_at(vm)}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_TRUE(vm.guest().paused);
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_TRUE(eventually([&] { return !vm.guest().paused; }));
}

TEST(Vbox, DaemonKilledDuringAPause_TheGuestRuns) {
  Simulator vm{Simulator::unique_name()};
  Mount mount{{"--vm", vm_at(vm)}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_TRUE(vm.guest().paused);
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return !vm.guest().paused; })) << mount.log();
}

TEST(Vbox, VmEnds_TheDirectoryGoes) {
  Simulator vm{Simulator::unique_name()};
  Mount mount{{"--vm", vm_at(vm)}};
  EXPECT_TRUE(exists(mount / "vm/mem")) << mount.log();
  vm.end();
  EXPECT_TRUE(eventually([&] { return !exists(mount / "vm"); })) << mount.log();
}

/// The daemon's threads block all signals, also the one of an access of a byte that is gone.
TEST(Vbox, ObjectIsCut_TheDirectoryGoes_AndTheDaemonStays) {
  Simulator vm{Simulator::unique_name()};
  Mount mount{{"--vm", vm_at(vm), "--vm", "other=fake:size=16M"}};
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  vm.cut();
  EXPECT_EQ(pread_at(mem.get(), 0x200000, 4096).error, ENODEV);
  EXPECT_TRUE(eventually([&] { return !exists(mount / "vm"); })) << mount.log();
  EXPECT_TRUE(exists(mount / "other/mem"));
}

TEST(Vbox, LockHeldByADeadClient_IsAnError_AndOthersGoOn) {
  Simulator vm{Simulator::unique_name()};
  Mount mount{{"--vm", vm_at(vm, ",timeout=500ms"), "--vm", "other=fake:size=16M"}};
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  vm.hold_general_lock(true);
  EXPECT_EQ(pread_at(mem.get(), 0x200000, 4096).error, EIO); // not EBUSY, as the kernel reads pages
  EXPECT_THAT(mount.log(), HasSubstr("dd of=/dev/shm/" + vm.name()));
  EXPECT_EQ(read_file(mount / "other/mem").size(), 16U << 20U);
  vm.hold_general_lock(false);
  EXPECT_EQ(pread_at(mem.get(), 0x200000, 4096).bytes, vm.guest().bytes(0x200000, 4096));
}

TEST(Vbox, VirtualBoxThatHung_CanBeAttachedAgain) {
  Simulator vm{Simulator::unique_name()};
  Mount mount{{"--vm", vm_at(vm, ",timeout=300ms")}};
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  vm.add_fault({.kind = fdp_simulator::FaultKind::late, .delay = std::chrono::milliseconds{600}});
  EXPECT_NE(pread_at(mem.get(), 0x200000, 4096).error, 0);
  EXPECT_TRUE(eventually([&] { return !exists(mount / "vm"); })) << mount.log();
  EXPECT_EQ(try_write(mount / ".vmemfs/control", "attach " + vm_at(vm) + "\n"), 0) << mount.log();
  EXPECT_TRUE(exists(mount / "vm/mem"));
}

TEST(Vbox, VmOfTheConfiguration_IsAttachedWheneverItRuns) {
  const std::string name = Simulator::unique_name();
  const TempDir dir;
  write_file(dir / "c.toml", fmt::format("[vm.win]\ndriver = \"vbox\"\nname = \"{}\"\n", name));
  auto vm = std::make_unique<Simulator>(name);
  Mount mount{{"--no-discover", "--config", dir / "c.toml"}};
  EXPECT_TRUE(eventually([&] { return exists(mount / "win/mem"); })) << mount.log();
  vm->end();
  EXPECT_TRUE(eventually([&] { return !exists(mount / "win"); })) << mount.log();
  vm = std::make_unique<Simulator>(name);
  EXPECT_TRUE(eventually([&] { return exists(mount / "win/mem"); })) << mount.log();
}

TEST(Vbox, NameWithoutADriver_IsEnough) {
  Simulator vm{Simulator::unique_name()};
  Mount mount{{"--no-discover", "--vm", vm.name()}};
  EXPECT_TRUE(exists(mount / (vm.name() + "/mem"))) << mount.log();
}

TEST(Vbox, NoSuchVm_IsRefused) {
  Mount mount{{"--vm", "other=fake:size=16M"}};
  EXPECT_EQ(try_write(mount / ".vmemfs/control", "attach vm=vbox:name=vmemfs-test-none\n"), ENOENT);
}

} // namespace
} // namespace vmemfs::test
