// SPDX-License-Identifier: MIT
// vCPUs of a real QEMU that are plugged in. None is unplugged: that takes a guest that cooperates, and QEMU
// 7.2 aborts under TCG if the same vCPU is plugged in again afterwards.
#include "arch/x86_64/registers.h"
#include "support/event_counts.h"
#include "support/files.h"
#include "tests/drivers/qemu/attached_guest.h"

#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

using test::eventually;

test::GuestOptions one_of_four() {
  test::GuestOptions options;
  options.fill = "none";
  options.extra = {"-smp", "1,maxcpus=4"};
  return options;
}

VcpuSet set(std::vector<VcpuId> vcpus) { return VcpuSet::of(std::move(vcpus), "test").value(); }

class Vcpus : public testing::TestWithParam<std::string> {
protected:
  Vcpus() { vm_.driver().set_listener(&listener_); }
  ~Vcpus() override { vm_.driver().set_listener(nullptr); }

  test::EventCounts listener_;
  AttachedGuest vm_{one_of_four(), GetParam()};
};

TEST_P(Vcpus, PluggedWithAGap_AreNoticedByTheirIndexes) {
  EXPECT_EQ(vm_.driver().vcpus(), VcpuSet::first(1));
  vm_.guest().plug_vcpu(3);
  EXPECT_TRUE(eventually([&] {
    return vm_.driver().vcpus() == set({VcpuId{0}, VcpuId{3}}) && listener_.has(VmEvent::vcpus_changed);
  }));
  vm_.guest().plug_vcpu(1);
  const VcpuSet all = set({VcpuId{0}, VcpuId{1}, VcpuId{3}});
  EXPECT_TRUE(eventually([&] { return vm_.driver().vcpus() == all; }));
  for (const VcpuId vcpu : all) {
    const auto registers = vm_.driver().register_reader()->read_vcpu(vcpu);
    ASSERT_TRUE(registers) << registers.error().message();
    EXPECT_TRUE(registers->get(x86_64::Register::rip));
  }
  EXPECT_EQ(vm_.driver().register_reader()->read_vcpu(VcpuId{2}).error().kind, ErrorKind::not_found);
}

TEST_P(Vcpus, PluggedWhilePaused_StaysWatched) {
  vm_.guest().pause();
  ASSERT_TRUE(vm_.control().run_status());
  vm_.guest().plug_vcpu(2);
  EXPECT_TRUE(eventually([&] { return vm_.driver().vcpus().contains(VcpuId{2}); }));
  EXPECT_TRUE(vm_.driver().state_delay());
  const auto status = vm_.control().run_status();
  ASSERT_TRUE(status);
  EXPECT_FALSE(status->running);
}

TEST_P(Vcpus, RegisterOfAPluggedVcpu_CanBeSet) {
  vm_.guest().pause();
  vm_.guest().plug_vcpu(3);
  const RegisterValue value{x86_64::Register::rbx, 0x1234};
  const auto written = vm_.driver().register_writer()->write_registers(VcpuId{3}, {&value, 1});
  ASSERT_TRUE(written) << written.error().message();
  const auto registers = vm_.driver().register_reader()->read_vcpu(VcpuId{3});
  ASSERT_TRUE(registers);
  EXPECT_EQ(registers->get(x86_64::Register::rbx), 0x1234U);
  EXPECT_NE(vm_.driver().register_reader()->read_vcpu(VcpuId{0})->get(x86_64::Register::rbx), 0x1234U);
}

INSTANTIATE_TEST_SUITE_P(Monitors, Vcpus, testing::Values("", ",keep=on"), [](const auto& kind) {
  return std::string{kind.param.empty() ? "kept_free" : "kept"};
});

} // namespace
} // namespace vmemfs::qemu
