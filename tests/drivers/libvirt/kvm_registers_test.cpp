// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/kvm_registers.h"

#include <gtest/gtest.h>
#include <vector>

namespace vmemfs::libvirt {
namespace {

VcpuSet set_of(std::vector<VcpuId> vcpus) { return *VcpuSet::of(std::move(vcpus), "test"); }

std::vector<std::uint32_t> values(const Result<std::vector<VcpuId>>& numbers) {
  std::vector<std::uint32_t> all;
  for (const VcpuId vcpu : numbers.value()) {
    all.push_back(vcpu.value());
  }
  return all;
}

// Three cores a socket: the APIC IDs of the second socket begin at 4. vCPU 1 is not plugged in.
TEST(KvmNumbers, GrowInTheOrderOfTheDomains) {
  const VcpuSet domain = set_of({VcpuId{0}, VcpuId{2}, VcpuId{3}, VcpuId{5}});
  const VcpuSet kvm = set_of({VcpuId{0}, VcpuId{2}, VcpuId{4}, VcpuId{6}});
  const std::vector<VcpuId> wanted{VcpuId{5}, VcpuId{0}, VcpuId{3}};
  EXPECT_EQ(values(kvm_numbers(wanted, domain, kvm)), (std::vector<std::uint32_t>{6, 0, 4}));
}

TEST(KvmNumbers, VcpuThatIsNotPluggedIn_IsNotFound) {
  const std::vector<VcpuId> wanted{VcpuId{1}};
  const auto numbers = kvm_numbers(wanted, set_of({VcpuId{0}, VcpuId{2}}), VcpuSet::first(2));
  ASSERT_FALSE(numbers);
  EXPECT_EQ(numbers.error().kind, ErrorKind::not_found);
}

// In the moment of a hotplug a number would be another vCPU's.
TEST(KvmNumbers, WhileAVcpuComes_AreNotGuessed) {
  const std::vector<VcpuId> wanted{VcpuId{0}};
  const auto numbers = kvm_numbers(wanted, VcpuSet::first(2), VcpuSet::first(3));
  ASSERT_FALSE(numbers);
  EXPECT_EQ(numbers.error().kind, ErrorKind::busy);
}

} // namespace
} // namespace vmemfs::libvirt
