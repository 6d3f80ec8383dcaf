// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "drivers/vbox/attached_vm.h"
#include "drivers/vbox/guest/resume_ticket.h"
#include "support/files.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::vbox {
namespace {

using test::eventually;
using testing::HasSubstr;
using testing::IsEmpty;
using x86_64::Register;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t k4GiB = std::uint64_t{1} << 32U;

TEST(VboxDriver, Map_GoesOnAboveTheHole) {
  AttachedVm vm;
  const auto map = vm.driver->memory_map();
  EXPECT_EQ(map->ram_end(), Gpa{k4GiB + 1536 * kMiB});
  EXPECT_EQ(map->at(Gpa{0xa0000}).region, nullptr);
  EXPECT_EQ(map->at(Gpa{0xc0000}).region->kind, RegionKind::rom);
  EXPECT_EQ(map->at(Gpa{0xe8000}).region, nullptr);
  EXPECT_EQ(map->at(Gpa{3584 * kMiB}).region, nullptr);
  EXPECT_TRUE(vm.reads_well(k4GiB + 1536 * kMiB - 4096, 4096));
  EXPECT_TRUE(vm.reads_well(3584 * kMiB - 100, 100));
  EXPECT_THAT(vm.vm.seen().violations, IsEmpty());
}

TEST(VboxDriver, UsersMap_IsTakenAsItIs) {
  AttachedVm vm{{}, ",maps=0-640K+1M-64M"};
  EXPECT_EQ(vm.driver->memory_map()->ram_end(), Gpa{64 * kMiB});
  EXPECT_TRUE(vm.reads_well(kMiB, 4096));
}

TEST(VboxDriver, AdjacentPieces_AreOneRequest_OfAtMostOneMiB) {
  AttachedVm vm;
  const unsigned before = vm.vm.seen().reads;
  std::vector<std::byte> buffer(64 * 4096);
  std::vector<ReadPiece> pieces;
  for (std::size_t i = 0; i < 64; ++i) {
    pieces.push_back({Gpa{2 * kMiB + i * 4096}, std::span{buffer}.subspan(i * 4096, 4096), 0, std::nullopt});
  }
  vm.driver->read(pieces);
  EXPECT_EQ(vm.vm.seen().reads, before + 1);
  EXPECT_EQ(buffer, vm.truth(2 * kMiB, buffer.size()));
  EXPECT_TRUE(vm.reads_well(kMiB + 5, 3 * kMiB));
  EXPECT_EQ(vm.vm.seen().max_read, kMiB);
  EXPECT_THAT(vm.vm.seen().violations, IsEmpty());
}

TEST(VboxDriver, Write_IsCutBelowOneMiB) {
  AttachedVm vm;
  std::vector<std::byte> bytes(3 * kMiB);
  std::ranges::generate(bytes, [at = 0]() mutable { return static_cast<std::byte>(at++ * 11); });
  const auto outcome = vm.driver->memory_writer()->write(Gpa{8 * kMiB + 3}, bytes);
  EXPECT_FALSE(outcome.failure) << outcome.failure->text;
  EXPECT_EQ(outcome.done, bytes.size());
  EXPECT_EQ(vm.truth(8 * kMiB + 3, bytes.size()), bytes);
  EXPECT_LE(vm.vm.seen().max_write, kMiB - 24);
  EXPECT_THAT(vm.vm.seen().violations, IsEmpty());
}

TEST(VboxDriver, WriteThatVirtualBoxRefuses_SaysHowMuchWasDone) {
  AttachedVm vm;
  vm.vm.guest().make_bad(9 * kMiB, 9 * kMiB + 4096);
  const std::vector<std::byte> bytes(2 * kMiB);
  const auto outcome = vm.driver->memory_writer()->write(Gpa{8 * kMiB - 8192}, bytes);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, ErrorKind::source_failed);
  EXPECT_EQ(outcome.done, kMiB - 4096);
}

TEST(VboxDriver, Registers_OfAPausedGuest_AreThoseOfEachVcpu) {
  AttachedVm vm;
  vm.vm.set_paused(true);
  const auto set = vm.driver->register_reader()->read_vcpu(VcpuId{1});
  ASSERT_TRUE(set.has_value()) << set.error().message();
  auto& guest = vm.vm.guest();
  EXPECT_EQ(set->get(Register::rax), guest.get_register(1, 0));
  EXPECT_EQ(set->get(Register::rdx), guest.get_register(1, 3));
  EXPECT_EQ(set->get(Register::r15), guest.get_register(1, 11));
  EXPECT_EQ(set->get(Register::rsp), guest.get_register(1, 12));
  EXPECT_EQ(set->get(Register::rdi), guest.get_register(1, 15));
  EXPECT_EQ(set->get(Register::rip), guest.get_register(1, 16));
  EXPECT_EQ(set->get(Register::dr7), guest.get_register(1, 22));
  EXPECT_EQ(set->get(Register::ss_selector), guest.get_register(1, 34));
  EXPECT_EQ(set->get(Register::rflags), guest.get_register(1, 35));
  EXPECT_EQ(set->get(Register::idt_limit), guest.get_register(1, 40));
  EXPECT_EQ(set->get(Register::cr3), guest.get_register(1, 43));
  EXPECT_EQ(set->get(Register::cr8), guest.get_register(1, 45));
  EXPECT_EQ(set->get(Register::tr_selector), guest.get_register(1, 49));
  EXPECT_EQ(set->get(Register::efer), 0xd01U);
  EXPECT_EQ(set->get(Register::fs_base), 0x7f00'0000'1001U);
  EXPECT_EQ(set->get(Register::gs_base), 0xffff'8880'0000'2001U);
  EXPECT_EQ(set->get(Register::kernel_gs_base), 0x3001U);
  EXPECT_THAT(vm.vm.seen().violations, IsEmpty());
}

TEST(VboxDriver, WriteRegisters_OfARunningGuest_PausesItMeanwhile) {
  AttachedVm vm;
  const std::array values{RegisterValue{Register::rbx, 0x1234}, RegisterValue{Register::fs_base, 0x5678}};
  const auto written = vm.driver->register_writer()->write_registers(VcpuId{1}, values);
  ASSERT_TRUE(written.has_value()) << written.error().message();
  EXPECT_EQ(vm.vm.guest().get_register(1, 1), 0x1234U);
  EXPECT_EQ(vm.vm.guest().get_msr(1, 0xC0000100), 0x5678U);
  EXPECT_FALSE(vm.vm.guest().paused);
  EXPECT_EQ(vm.vm.guest().pauses, 1U);
}

TEST(VboxDriver, SelectorsCannotBeSet_AndThenNothingIs) {
  AttachedVm vm;
  vm.vm.set_paused(true);
  const std::array values{RegisterValue{Register::rbx, 0x1234}, RegisterValue{Register::cs_selector, 0x33}};
  const auto written = vm.driver->register_writer()->write_registers(VcpuId{0}, values);
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().kind, ErrorKind::unsupported);
  EXPECT_NE(vm.vm.guest().get_register(0, 1), 0x1234U);
}

TEST(VboxDriver, PauseAndResume_AreReportedBeforeTheyReturn) {
  AttachedVm vm;
  RunControl& control = *vm.driver->run_control();
  EXPECT_FALSE(control.pause()->running);
  EXPECT_TRUE(vm.vm.guest().paused);
  EXPECT_EQ(vm.events.of(VmEvent::paused), 1);
  EXPECT_TRUE(control.resume()->running);
  EXPECT_EQ(vm.events.of(VmEvent::resumed), 1);
  EXPECT_FALSE(vm.vm.guest().paused);
}

TEST(VboxDriver, OthersPause_IsNoticedByTheMark_WhichStays) {
  AttachedVm vm;
  vm.vm.set_paused(true);
  EXPECT_TRUE(eventually([&] { return vm.events.of(VmEvent::paused) == 1; }));
  EXPECT_TRUE(vm.vm.state_changed());
  vm.vm.clear_state_changed();
  vm.vm.set_paused(false);
  EXPECT_TRUE(eventually([&] { return vm.events.of(VmEvent::resumed) == 1; }));
}

TEST(VboxDriver, OthersPause_WhoseMarkSomebodyElseTook_IsNoticedLater) {
  AttachedVm vm;
  vm.vm.guest().paused = true; // without the mark
  EXPECT_TRUE(eventually([&] { return vm.events.of(VmEvent::paused) == 1; }));
}

TEST(VboxDriver, BreakpointOfAnotherClient_IsNotOurPause) {
  AttachedVm vm;
  vm.vm.set_paused(true, true);
  const auto status = vm.driver->run_control()->run_status();
  ASSERT_TRUE(status.has_value());
  EXPECT_FALSE(status->running);
  EXPECT_FALSE(status->by_command);
}

TEST(VboxDriver, PauseOfOurs_WithAnOldBreakpointBit_RemainsOurs) {
  AttachedVm vm;
  vm.vm.guest().at_breakpoint = true;
  EXPECT_TRUE(vm.driver->run_control()->pause()->by_command);
  EXPECT_TRUE(vm.driver->run_control()->run_status()->by_command);
}

TEST(VboxDriver, TwoClients_WorkBesideEachOther) {
  AttachedVm vm;
  auto other = vm.open();
  ASSERT_TRUE(other.has_value()) << other.error().message();
  std::atomic<int> wrong{0};
  const auto expected = vm.truth(4 * kMiB, 65536);
  const auto work = [&](Driver& driver) {
    std::vector<std::byte> buffer(expected.size());
    for (int i = 0; i < 300; ++i) {
      ReadPiece piece{Gpa{4 * kMiB}, buffer, 0, std::nullopt};
      driver.read({&piece, 1});
      wrong += piece.done == buffer.size() && buffer == expected ? 0 : 1;
    }
  };
  std::thread thread{[&] { work(**other); }};
  work(*vm.driver);
  thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_THAT(vm.vm.seen().violations, IsEmpty());
  EXPECT_EQ((*other)->identity().key, vm.driver->identity().key);
}

TEST(VboxDriver, Ticket_ResumesTheGuest_ButNoOther) {
  AttachedVm vm;
  ASSERT_TRUE(vm.driver->run_control()->pause().has_value());
  const std::string ticket = vm.driver->run_control()->resume_ticket();
  auto other = parse_resume_ticket(ticket).value();
  ++other.object.inode;
  EXPECT_TRUE(resume_orphan(other).has_value());
  EXPECT_TRUE(vm.vm.guest().paused);
  const auto resumed = vbox_driver_type().resume_orphan(ticket, nullptr);
  EXPECT_TRUE(resumed.has_value()) << resumed.error().message();
  EXPECT_FALSE(vm.vm.guest().paused);
  EXPECT_TRUE(vbox_driver_type().resume_orphan(ticket, nullptr).has_value());
  vm.vm.end();
  EXPECT_TRUE(vbox_driver_type().resume_orphan(ticket, nullptr).has_value());
}

TEST(VboxDriver, NameOfTheVm_IsThatOfTheObject) {
  AttachedVm vm;
  EXPECT_EQ(vm.driver->identity().name, vm.vm.name());
  EXPECT_EQ(vm.driver->identity().architecture, "x86_64");
  EXPECT_EQ(vm.driver->vcpus(), VcpuSet::first(2));
}

} // namespace
} // namespace vmemfs::vbox
