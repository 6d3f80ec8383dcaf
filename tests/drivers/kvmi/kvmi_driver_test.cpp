// SPDX-License-Identifier: MIT
// Memory, registers and pause of a VM that behaves.
#include "arch/x86_64/registers.h"
#include "core/text.h"
#include "drivers/kvmi/attached_vm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::kvmi {
namespace {

using kvmi_simulator::Dialect;
using kvmi_simulator::FaultKind;
using testing::HasSubstr;
using testing::IsEmpty;
using x86_64::Register;

class KvmiDriverTest : public testing::TestWithParam<Dialect> {
protected:
  [[nodiscard]] static kvmi_simulator::Options options() { return {.dialect = GetParam()}; }
};

TEST_P(KvmiDriverTest, Memory_IsTheGuests_AndItsMapHasItsHoles) {
  AttachedVm vm{options(), {.ram = {{0, 0x9f000}, {0x100000, 0x3ff000}, {0xfffc0000, 0x40000}}}};
  const auto attached = vm.attach();
  ASSERT_TRUE(attached) << attached.error().message();
  const auto map = vm.driver().memory_map();
  ASSERT_EQ(map->regions().size(), 3U);
  EXPECT_EQ(map->regions()[0].range, (GpaRange{Gpa{0}, Gpa{0x9f000}}));
  EXPECT_EQ(map->regions()[1].range, (GpaRange{Gpa{0x100000}, Gpa{0x4ff000}}));
  EXPECT_EQ(map->regions()[2].range, (GpaRange{Gpa{0xfffc0000}, Gpa{0x100000000}}));
  EXPECT_EQ(map->regions()[2].kind, RegionKind::rom);
  EXPECT_EQ(map->ram_end(), Gpa{0x4ff000});
  for (const std::size_t size : {1U, 4095U, 4096U, 4097U, 100'000U}) {
    const auto read = vm.read(0x100ffd, size);
    EXPECT_FALSE(read.failure);
    for (std::size_t i = 0; i < read.bytes.size(); ++i) {
      ASSERT_EQ(read.bytes[i], std::byte{kvmi_simulator::pattern(0x100ffd + i)}) << i;
    }
    EXPECT_EQ(read.bytes.size(), size);
  }
  EXPECT_EQ(vm.read(0x9f000, 8).failure, ErrorKind::hole);
  EXPECT_THAT(vm.simulator().seen().violations, IsEmpty());
}

TEST_P(KvmiDriverTest, SequentialMebibyte_With1msOfLatency_TakesTwoRoundTripsAtMost) {
  auto slow = options();
  slow.latency = std::chrono::milliseconds{1};
  AttachedVm vm{slow, {.ram = {{0, 16 << 20}}}};
  ASSERT_TRUE(vm.attach());
  for (const std::uint64_t offset : {0U, 0x800U}) {
    vm.simulator().reset_counts();
    constexpr unsigned kMebibytes = 8;
    for (unsigned i = 0; i < kMebibytes; ++i) {
      ASSERT_TRUE(vm.reads(offset + (std::uint64_t{i} << 20U), 1 << 20));
    }
    EXPECT_LE(vm.simulator().seen().flights, 2 * kMebibytes) << offset;
    EXPECT_GE(vm.simulator().seen().reads, kMebibytes * 256);
  }
}

TEST_P(KvmiDriverTest, Registers_OfAllVcpus_AreTheGuests) {
  auto reversed = options();
  reversed.reverse_vcpu_replies = true;
  AttachedVm vm{reversed, {.vcpus = 5}};
  ASSERT_TRUE(vm.attach());
  const VcpuSet present = vm.driver().vcpus();
  ASSERT_EQ(present.size(), 5U);
  const std::vector<VcpuId> vcpus{present.begin(), present.end()};
  const auto sets = vm.driver().register_reader()->read_registers(vcpus);
  ASSERT_TRUE(sets) << sets.error().message();
  for (std::uint32_t i = 0; i < 5; ++i) {
    const RegisterSet& set = (*sets)[i];
    EXPECT_EQ(set.get(Register::rax), 0x1000U + i);
    EXPECT_EQ(set.get(Register::rbx), 0x2000U + i);
    EXPECT_EQ(set.get(Register::rsp), 0x7000U + i);
    EXPECT_EQ(set.get(Register::r15), 0x10000U + i);
    EXPECT_EQ(set.get(Register::rip), 0xffffffff81000000U + 0x10 * i);
    EXPECT_EQ(set.get(Register::cr3), 0x1000U * (i + 1));
    EXPECT_EQ(set.get(Register::cs_selector), 0x10U);
    EXPECT_EQ(set.get(Register::cs_attributes), 0xa09bU);
    EXPECT_EQ(set.get(Register::gs_base), 0xffff888000000000U + i);
    EXPECT_EQ(set.get(Register::idt_limit), 0xfffU);
    EXPECT_EQ(set.get(Register::lstar), 0xabc00000ULL * 0x1000 + 0xc0000082 + i);
    EXPECT_EQ(set.get(Register::efer), 0xd01U);
    EXPECT_FALSE(set.get(Register::dr7));
  }
}

TEST_P(KvmiDriverTest, Pause_StopsEveryVcpu_AndResumeAnswersEveryEvent) {
  for (const bool events_first : {false, true}) {
    auto late = options();
    late.events_first = events_first;
    late.event_delay = std::chrono::milliseconds{events_first ? 0 : 20};
    AttachedVm vm{late, {.vcpus = 4}};
    ASSERT_TRUE(vm.attach());
    for (int round = 0; round < 3; ++round) {
      const auto paused = vm.control().pause();
      ASSERT_TRUE(paused) << paused.error().message();
      EXPECT_FALSE(paused->running);
      EXPECT_EQ(vm.simulator().waiting_vcpus(), 4U);
      EXPECT_TRUE(vm.reads());
      ASSERT_TRUE(vm.control().resume());
      EXPECT_TRUE(test::eventually([&] { return vm.simulator().waiting_vcpus() == 0; }));
      EXPECT_TRUE(vm.control().run_status()->running);
    }
    EXPECT_EQ(vm.simulator().seen().unexpected_replies, 0U);
    EXPECT_EQ(vm.simulator().seen().connections, 1U);
  }
}

TEST_P(KvmiDriverTest, RegistersThatAreSet_ReadBackAtOnce_AndAreInForceAfterTheResume) {
  AttachedVm vm{options()};
  ASSERT_TRUE(vm.attach());
  ASSERT_TRUE(vm.control().pause());
  const RegisterValue value{Register::rbx, 0x77};
  const auto written = vm.driver().register_writer()->write_registers(VcpuId{1}, {&value, 1});
  ASSERT_TRUE(written) << written.error().message();
  EXPECT_EQ(vm.driver().register_reader()->read_vcpu(VcpuId{1})->get(Register::rbx), 0x77U);
  EXPECT_EQ(vm.guest().registers(1)[kvmi_simulator::kRbx], 0x2001U);
  ASSERT_TRUE(vm.control().resume());
  EXPECT_TRUE(test::eventually([&] { return vm.guest().registers(1)[kvmi_simulator::kRbx] == 0x77; }));
  const RegisterValue system{Register::cr3, 0x1000'0000};
  const auto refused = vm.driver().register_writer()->write_registers(VcpuId{1}, {&system, 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::unsupported);
  // Of a running VM: it is paused for it, and runs again.
  const RegisterValue running{Register::rbx, 0x78};
  ASSERT_TRUE(vm.driver().register_writer()->write_registers(VcpuId{0}, {&running, 1}));
  EXPECT_TRUE(test::eventually([&] {
    return vm.guest().registers(0)[kvmi_simulator::kRbx] == 0x78 && vm.simulator().waiting_vcpus() == 0;
  }));
}

TEST_P(KvmiDriverTest, Writes_ReachTheGuest_AndNothingElse) {
  AttachedVm vm{options()};
  ASSERT_TRUE(vm.attach());
  auto expected = vm.guest().bytes(0x200000, 1 << 20);
  const std::vector<std::byte> bytes(300'001, std::byte{0x5a});
  const auto outcome = vm.driver().memory_writer()->write(Gpa{0x200ffd}, bytes);
  EXPECT_FALSE(outcome.failure);
  EXPECT_EQ(outcome.done, bytes.size());
  std::ranges::copy(bytes, expected.begin() + 0xffd);
  EXPECT_EQ(vm.guest().bytes(0x200000, 1 << 20), expected);
  EXPECT_THAT(vm.simulator().seen().violations, IsEmpty());
}

TEST_P(KvmiDriverTest, VcpuThatIsPlugged_IsNoticed_AndPausedToo) {
  AttachedVm vm{options()};
  ASSERT_TRUE(vm.attach());
  ASSERT_TRUE(vm.control().pause());
  vm.guest().plug_vcpu();
  EXPECT_TRUE(test::eventually([&] { return vm.driver().vcpus().size() == 3; }));
  EXPECT_TRUE(test::eventually([&] { return vm.simulator().waiting_vcpus() == 3; }));
  EXPECT_EQ(vm.reports().vcpus, 1);
  ASSERT_TRUE(vm.control().resume());
  EXPECT_TRUE(test::eventually([&] { return vm.simulator().waiting_vcpus() == 0; }));
}

TEST_P(KvmiDriverTest, MemoryThatIsPlugged_IsSeen) {
  AttachedVm vm{options()};
  ASSERT_TRUE(vm.attach());
  EXPECT_EQ(vm.read(0x1000000, 16).failure, ErrorKind::hole);
  vm.guest().plug_ram({0x1000000, 0x100000});
  if (GetParam() == Dialect::v12) { // only a greeting says where memory ends
    vm.simulator().disconnect();
  }
  EXPECT_TRUE(test::eventually([&] { return vm.reads(0x1000000, 0x100000); }));
  EXPECT_EQ(vm.reports().layouts, 1);
}

TEST_P(KvmiDriverTest, Detached_ResumesTheVm_AndRemovesTheSocket) {
  AttachedVm vm{options()};
  ASSERT_TRUE(vm.attach());
  ASSERT_TRUE(vm.control().pause());
  vm.detach();
  EXPECT_TRUE(test::eventually([&] { return vm.simulator().waiting_vcpus() == 0; }));
  EXPECT_FALSE(test::exists(vm.socket()));
}

TEST_P(KvmiDriverTest, Unhook_ResumesTheVm_WhichMayComeBack) {
  AttachedVm vm{options()};
  ASSERT_TRUE(vm.attach("domain=simulated,timeout=60s,wait=60s,reconnect=60s"));
  ASSERT_TRUE(vm.control().pause());
  vm.simulator().unhook();
  EXPECT_TRUE(test::eventually([&] { return vm.reports().unclear >= 1; }));
  EXPECT_TRUE(test::eventually([&] { return vm.reads(); }));
  EXPECT_TRUE(vm.control().run_status()->running);
  EXPECT_EQ(vm.simulator().waiting_vcpus(), 0U);
  EXPECT_EQ(vm.simulator().seen().connections, 2U);
  EXPECT_EQ(vm.simulator().seen().unexpected_replies, 0U);
}

TEST_P(KvmiDriverTest, Access_NamesTheDialect) {
  AttachedVm vm{options()};
  ASSERT_TRUE(vm.attach());
  EXPECT_THAT(vm.driver().access().ram, HasSubstr(GetParam() == Dialect::tree ? "tree v7" : "v12"));
  EXPECT_EQ(vm.driver().identity().name, "simulated");
  EXPECT_EQ(vm.driver().identity().uuid, "11111111-2222-3333-4444-555555555501");
}

INSTANTIATE_TEST_SUITE_P(Dialects, KvmiDriverTest, testing::Values(Dialect::tree, Dialect::v12),
                         [](const auto& dialect) { return dialect.param == Dialect::tree ? "tree" : "v12"; });

} // namespace
} // namespace vmemfs::kvmi
