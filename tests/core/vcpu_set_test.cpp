// SPDX-License-Identifier: MIT
#include "core/vcpu_set.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

VcpuSet set(std::vector<VcpuId> vcpus) { return VcpuSet::of(std::move(vcpus), "test").value(); }

TEST(VcpuSet, AnyOrderAndRepeated_SortedAndOnce) {
  const VcpuSet vcpus = set({VcpuId{3}, VcpuId{0}, VcpuId{1}, VcpuId{3}});
  EXPECT_EQ(std::vector<VcpuId>(vcpus.begin(), vcpus.end()), (std::vector{VcpuId{0}, VcpuId{1}, VcpuId{3}}));
  EXPECT_EQ(vcpus.size(), 3U);
  EXPECT_TRUE(vcpus.contains(VcpuId{3}));
  EXPECT_FALSE(vcpus.contains(VcpuId{2}));
  EXPECT_EQ(set({VcpuId{1}, VcpuId{0}}), VcpuSet::first(2));
  EXPECT_TRUE(VcpuSet{}.empty());
}

TEST(VcpuSet, Without_LeavesTheRest) {
  const VcpuSet vcpus = set({VcpuId{0}, VcpuId{1}, VcpuId{3}});
  EXPECT_EQ(vcpus.without(VcpuSet::first(2)), set({VcpuId{3}}));
  EXPECT_TRUE(vcpus.without(vcpus).empty());
  EXPECT_EQ(vcpus.without({}), vcpus);
}

TEST(VcpuSet, NumberTooLarge_IsRefusedWithTheNumber) {
  const auto refused = VcpuSet::of({VcpuId{0}, VcpuId{1'000'000}}, "qmp");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::source_failed);
  EXPECT_EQ(refused.error().message(),
            "qmp: a vCPU has the number 1000000, and at most 8192 vCPUs are supported");
  EXPECT_TRUE(VcpuSet::of({VcpuId{VcpuSet::kMaxVcpus - 1}}, "qmp"));
  EXPECT_EQ(VcpuSet::first(0xffff'ffffU).size(), VcpuSet::kMaxVcpus);
}

TEST(VcpuSet, Text_RangesAsLinuxListsThem_AndBounded) {
  EXPECT_EQ(to_string(VcpuSet{}), "none");
  EXPECT_EQ(to_string(VcpuSet::first(1)), "0");
  EXPECT_EQ(to_string(set({VcpuId{0}, VcpuId{1}, VcpuId{3}, VcpuId{5}, VcpuId{6}})), "0-1,3,5-6");
  std::vector<VcpuId> even;
  for (std::uint32_t i = 0; i < VcpuSet::kMaxVcpus; i += 2) {
    even.emplace_back(i);
  }
  EXPECT_EQ(to_string(set(std::move(even))), "0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,...");
}

} // namespace
} // namespace vmemfs
