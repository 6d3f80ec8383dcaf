// SPDX-License-Identifier: MIT
#include "support/event_counts.h"
#include "tests/drivers/pmemaccess/attached_vm.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace vmemfs::pmemaccess {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kRam = 0x200000;

TEST(PmemaccessDriver, MapIsTheMonitors_WithoutDeviceMemory) {
  AttachedVm vm;
  const auto map = vm.driver->memory_map();
  ASSERT_EQ(map->regions().size(), 5U);
  EXPECT_EQ(map->at(Gpa{0xfd000000}).region, nullptr) << "video memory moves without notice";
  EXPECT_EQ(map->at(Gpa{0xc0000}).region->kind, RegionKind::rom);
  EXPECT_EQ(map->ram_end(), Gpa{0x180000000});
  EXPECT_EQ(map->at(Gpa{0x100000}).region->block_offset, 0x100000U);
  EXPECT_EQ(vm.driver->vcpus(), VcpuSet::first(2));
  EXPECT_EQ(vm.driver->identity().name, "simulated");
}

TEST(PmemaccessDriver, QemuOfBefore212_HasVcpusByTheOlderCommand) {
  AttachedVm vm{{.variant = sim::Variant::u8, .cpus_fast = false, .vcpus = 3}};
  EXPECT_EQ(vm.driver->vcpus(), VcpuSet::first(3));
}

TEST(PmemaccessDriver, QemuOfBefore29_NeedsTheUsersMap) {
  AttachedVm vm{{.mtree = false}, ",maps=0-640K+1M-16M"};
  EXPECT_TRUE(vm.reads_well(0x100000, 4096));
  EXPECT_EQ(vm.read(0x1000000, 16).failure, ErrorKind::hole);
  EXPECT_TRUE(vm.driver->refresh().has_value());
  const auto without = vm.open(fmt::format("qmp={},timeout=20s", vm.monitor()));
  ASSERT_FALSE(without.has_value());
  EXPECT_THAT(without.error().text, HasSubstr("maps="));
}

TEST(PmemaccessDriver, UnpatchedQemu_IsNamed) {
  try {
    const AttachedVm vm{{.patched = false}};
    FAIL() << "attached";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("does not have LibVMI's pmemaccess patch"));
    EXPECT_THAT(error.what(), HasSubstr("driver qemu"));
  }
}

TEST(PmemaccessDriver, SocketThatDoesNotAppear_IsNoEndOfTheVm) {
  try {
    const AttachedVm vm{{.refuses_files = true}, ",timeout=10s"};
    FAIL() << "attached";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("dir="));
  }
}

TEST(PmemaccessDriver, PathOfMoreThan107Bytes_IsNeverGivenToQemu) {
  AttachedVm vm;
  const auto before = vm.qemu.seen().sessions;
  const auto opened = vm.open(fmt::format("qmp={},dir=/{},timeout=20s", vm.monitor(), std::string(80, 'd')));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().kind, ErrorKind::invalid);
  EXPECT_THAT(opened.error().text, HasSubstr("dir="));
  EXPECT_EQ(vm.qemu.seen().sessions, before);
  EXPECT_THAT(vm.qemu.seen().violations, IsEmpty());
}

TEST(PmemaccessDriver, MonitorWithAnotherClient_IsBusy) {
  AttachedVm vm{{}, ",timeout=20s"};
  const int other = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  vm.monitor().copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::connect(other, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  std::array<char, 4> greeting{};
  ASSERT_GT(::recv(other, greeting.data(), greeting.size(), 0), 0);
  const auto opened = vm.open(fmt::format("qmp={},timeout=300ms", vm.monitor()));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().kind, ErrorKind::busy);
  EXPECT_TRUE(vm.reads_well(kRam, 4096)) << "memory needs no monitor";
  ::close(other);
}

TEST(PmemaccessDriver, Writes_AreInSmallRequests) {
  AttachedVm vm;
  const std::vector<std::byte> bytes(10000, std::byte{0x5a});
  const auto outcome = vm.driver->memory_writer()->write(Gpa{0x100000ffd}, bytes);
  ASSERT_FALSE(outcome.failure) << outcome.failure->message();
  EXPECT_EQ(outcome.done, bytes.size());
  EXPECT_EQ(vm.truth(0x100000ffd, bytes.size()), bytes);
  EXPECT_EQ(vm.qemu.seen().writes, 3U);
  EXPECT_THAT(vm.qemu.seen().violations, IsEmpty());
}

TEST(PmemaccessDriver, WriteThatQemuAnswersWithZero_EndsTheSession) {
  AttachedVm vm;
  vm.qemu.guest().make_bad(kRam + 0x1800, kRam + 0x2000);
  const std::vector<std::byte> bytes(0x3000, std::byte{0x5a});
  const auto outcome = vm.driver->memory_writer()->write(Gpa{kRam}, bytes);
  EXPECT_EQ(outcome.done, 0x1000U);
  ASSERT_TRUE(outcome.failure);
  EXPECT_THAT(outcome.failure->text, HasSubstr("may have been written"));
  EXPECT_TRUE(vm.reads_well(kRam, 0x1800));
  EXPECT_EQ(vm.qemu.seen().sessions, 2U);
}

TEST(PmemaccessDriver, WriteWithoutAnAnswer_IsNotRepeated) {
  AttachedVm vm;
  vm.qemu.add_fault({.kind = sim::FaultKind::close});
  const std::vector<std::byte> bytes(16, std::byte{0x5a});
  const auto outcome = vm.driver->memory_writer()->write(Gpa{kRam}, bytes);
  EXPECT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.done, 0U);
  EXPECT_EQ(vm.qemu.seen().writes, 1U);
}

TEST(PmemaccessDriver, Qemu240_IsNeverWrittenTo) {
  AttachedVm vm{{.variant = sim::Variant::v2_4}};
  const std::vector<std::byte> bytes(16, std::byte{0x5a});
  const auto outcome = vm.driver->memory_writer()->write(Gpa{kRam}, bytes);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, ErrorKind::unsupported);
  EXPECT_THAT(outcome.failure->text, HasSubstr("2.4.0"));
  EXPECT_THAT(vm.driver->access().writes, HasSubstr("2.4.0"));
  EXPECT_TRUE(vm.reads_well(kRam, 4096));
  EXPECT_EQ(vm.qemu.seen().writes, 0U);
  EXPECT_THAT(vm.qemu.seen().violations, IsEmpty());
}

TEST(PmemaccessDriver, WithTcgAndDuringAMigration_NothingIsWritten) {
  const std::vector<std::byte> bytes(16, std::byte{0x5a});
  AttachedVm tcg{{.kvm = false}};
  EXPECT_EQ(tcg.driver->memory_writer()->write(Gpa{kRam}, bytes).failure->kind, ErrorKind::unsupported);
  AttachedVm vm;
  vm.qemu.set_migrating(true);
  EXPECT_EQ(vm.driver->memory_writer()->write(Gpa{kRam}, bytes).failure->kind, ErrorKind::busy);
  EXPECT_EQ(tcg.qemu.seen().writes + vm.qemu.seen().writes, 0U);
  vm.qemu.set_migrating(false);
  EXPECT_FALSE(vm.driver->memory_writer()->write(Gpa{kRam}, bytes).failure);
}

TEST(PmemaccessDriver, SocketAlone_HasMemoryAndNothingElse) {
  AttachedVm vm;
  vm.qemu.open_memory(vm.dir / "memory");
  const auto commands = vm.qemu.seen().commands.size();
  EXPECT_FALSE(vm.open(fmt::format("socket={}", vm.dir / "memory")).has_value()) << "maps= is missing";
  auto opened = vm.open(fmt::format("socket={},maps=0-640K+1M-2047M+4G-6G,timeout=20s", vm.dir / "memory"));
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  vm.driver = std::move(*opened);
  EXPECT_TRUE(vm.reads_well(0x17ffff000, 4096));
  EXPECT_EQ(vm.driver->register_reader(), nullptr);
  EXPECT_EQ(vm.driver->run_control(), nullptr);
  EXPECT_TRUE(vm.driver->vcpus().empty());
  const std::vector<std::byte> bytes(16, std::byte{0x5a});
  EXPECT_EQ(vm.driver->memory_writer()->write(Gpa{kRam}, bytes).failure->kind, ErrorKind::unsupported);
  EXPECT_EQ(vm.qemu.seen().commands.size(), commands);
  vm.qemu.add_fault({.kind = sim::FaultKind::close_after});
  EXPECT_TRUE(vm.reads_well(kRam, 16));
  EXPECT_TRUE(test::eventually([&] { return vm.read(kRam, 16).failure == ErrorKind::vm_gone; }))
      << "nobody can make another session";
  EXPECT_TRUE(vm.driver->gone());
}

TEST(PmemaccessDriver, KeptMonitor_ReportsWhatOthersDo) {
  AttachedVm vm{{}, ",keep=on,timeout=20s"};
  test::EventCounts listener;
  vm.driver->set_listener(&listener);
  vm.qemu.set_running(false);
  EXPECT_TRUE(test::eventually([&] { return listener.has(VmEvent::paused); }));
  EXPECT_FALSE(vm.driver->run_control()->run_status()->running);
  vm.qemu.set_running(true);
  EXPECT_TRUE(test::eventually([&] { return listener.has(VmEvent::resumed); }));
  EXPECT_EQ(std::ranges::count(vm.qemu.seen().commands, "qmp_capabilities"), 1) << "one connection for all";
  EXPECT_TRUE(vm.reads_well(kRam, 4096));
  vm.driver->set_listener(nullptr);
}

TEST(PmemaccessDriver, KeptMonitor_TellsAReaderOfAResumeByOthers) {
  AttachedVm vm{{}, ",keep=on,timeout=20s"};
  EXPECT_TRUE(vm.driver->state_delay());
  ASSERT_TRUE(vm.driver->run_control()->pause().has_value());
  test::EventCounts listener;
  vm.driver->set_listener(&listener);
  const auto commands = vm.qemu.seen().commands.size();
  vm.qemu.set_running(true);
  const auto begin = std::chrono::steady_clock::now();
  while (!listener.has(VmEvent::resumed) &&
         std::chrono::steady_clock::now() - begin < std::chrono::seconds{60}) {
    vm.driver->poll_run_state();
  }
  EXPECT_TRUE(listener.has(VmEvent::resumed));
  EXPECT_EQ(vm.qemu.seen().commands.size(), commands) << "a reader asks the monitor nothing";
  vm.driver->set_listener(nullptr);
}

TEST(PmemaccessDriver, MonitorThatIsNotKept_TellsNothing) {
  const AttachedVm vm;
  EXPECT_FALSE(vm.driver->state_delay());
}

TEST(PmemaccessDriver, MapThatChanges_IsReadAgainAfterAReadOfAHole) {
  AttachedVm vm{{.vcpus = 1}};
  const auto asked = [&] { return std::ranges::count(vm.qemu.seen().commands, "human-monitor-command"); };
  const auto before = asked();
  EXPECT_EQ(vm.read(0xa0000, 16).failure, ErrorKind::hole);
  vm.driver->poll_layout(true);
  EXPECT_TRUE(test::eventually([&] { return asked() > before; }));
}

TEST(PmemaccessDriver, ResumeTicket_ResumesAVmThatIsPaused) {
  AttachedVm vm;
  RunControl& control = *vm.driver->run_control();
  ASSERT_TRUE(control.pause().has_value());
  const std::string ticket = control.resume_ticket();
  vm.driver.reset();
  EXPECT_FALSE(vm.qemu.running());
  const auto resumed = pmemaccess_driver_type().resume_orphan(ticket, nullptr);
  EXPECT_TRUE(resumed.has_value()) << resumed.error().message();
  EXPECT_TRUE(vm.qemu.running());
  EXPECT_TRUE(pmemaccess_driver_type().resume_orphan(ticket, nullptr).has_value()) << "nothing to do";
  vm.qemu.end();
  EXPECT_TRUE(pmemaccess_driver_type().resume_orphan(ticket, nullptr).has_value()) << "it has ended";
  EXPECT_FALSE(pmemaccess_driver_type().resume_orphan("monitor=", nullptr).has_value());
}

} // namespace
} // namespace vmemfs::pmemaccess
