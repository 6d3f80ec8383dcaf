// SPDX-License-Identifier: MIT
// The map of a VM whose peer has QUERY_PHYSICAL, and what happens if that command misbehaves.
#include "drivers/kvmi/attached_vm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::kvmi {
namespace {

using kvmi_simulator::Fault;
using kvmi_simulator::FaultKind;
using testing::HasSubstr;

constexpr std::uint16_t kTreeQuery = 39;

/// With a hole of one page within a step of 2 MiB, which trying pages does not see.
kvmi_simulator::GuestOptions with_small_hole() {
  return {.ram = {{0, 0x9f000}, {0x100000, 0x205000}, {0x306000, 0x1f9000}, {0xfffc0000, 0x40000}}};
}

std::vector<GpaRange> ranges_of(AttachedVm& vm) {
  std::vector<GpaRange> ranges;
  for (const Region& region : vm.driver().memory_map()->regions()) {
    ranges.push_back(region.range);
  }
  return ranges;
}

const std::vector<GpaRange> kExact{{Gpa{0}, Gpa{0x9f000}},
                                   {Gpa{0x100000}, Gpa{0x305000}},
                                   {Gpa{0x306000}, Gpa{0x4ff000}},
                                   {Gpa{0xfffc0000}, Gpa{0x100000000}}};
const std::vector<GpaRange> kTried{
    {Gpa{0}, Gpa{0x9f000}}, {Gpa{0x100000}, Gpa{0x4ff000}}, {Gpa{0xfffc0000}, Gpa{0x100000000}}};

TEST(QueryPhysical, HolesAreExact_WhateverErrorAHoleGives) {
  for (const int error : {ENOENT, EFAULT, EINVAL}) {
    AttachedVm vm{{.hole_error = error}, with_small_hole()};
    const auto attached = vm.attach();
    ASSERT_TRUE(attached) << attached.error().message();
    EXPECT_EQ(ranges_of(vm), kExact);
    EXPECT_THAT(vm.driver().access().map, HasSubstr("QUERY_PHYSICAL"));
    EXPECT_LE(vm.simulator().seen().reads, 12U); // three pages of each slot
    EXPECT_EQ(vm.read(0x305000, 16).failure, ErrorKind::hole);
    EXPECT_TRUE(vm.reads(0x306000, 0x10000));
    EXPECT_THAT(vm.simulator().seen().violations, testing::IsEmpty());
  }
}

TEST(QueryPhysical, PeerWithoutIt_OrThatForbidsIt_IsNotAsked) {
  for (const bool forbids : {false, true}) {
    kvmi_simulator::Options options{.has_query = forbids};
    if (forbids) {
      options.denied = {kTreeQuery};
    }
    AttachedVm vm{options, with_small_hole()};
    ASSERT_TRUE(vm.attach());
    EXPECT_EQ(vm.simulator().seen().queries, 0U);
    EXPECT_EQ(ranges_of(vm), kTried);
    EXPECT_THAT(vm.driver().access().map, HasSubstr("trying pages"));
  }
}

/// Whatever it says, pages are tried then, and the connection goes on.
TEST(QueryPhysical, AnswersThatCannotBe_PagesAreTried) {
  const std::vector<Fault> faults{
      {.kind = FaultKind::error, .value = kvmi_simulator::kPerm},
      {.kind = FaultKind::error, .value = kvmi_simulator::kNotSupported},
      {.kind = FaultKind::error, .value = kvmi_simulator::kNoCommand},
      {.kind = FaultKind::error, .value = ENOMEM},
      {.kind = FaultKind::short_reply},
      {.kind = FaultKind::zeros},
      {.kind = FaultKind::ones},
      {.kind = FaultKind::replaced, .data = {0, std::uint64_t{1} << 63U}},
      {.kind = FaultKind::replaced, .data = {std::uint64_t{1} << 52U, 1}},
      {.kind = FaultKind::replaced, .data = {7, 1}},        // not what was asked for
      {.kind = FaultKind::replaced, .data = {0, 0x100000}}, // all of it
      {.kind = FaultKind::replaced, .data = {0, 0x9f000}},  // bytes instead of pages
  };
  for (Fault fault : faults) {
    fault.id = kTreeQuery;
    fault.times = 10'000;
    AttachedVm vm{{.faults = {fault}}, with_small_hole()};
    const auto attached = vm.attach();
    ASSERT_TRUE(attached) << attached.error().message();
    EXPECT_EQ(ranges_of(vm), kTried) << static_cast<int>(fault.kind) << ' ' << fault.value;
    EXPECT_THAT(vm.driver().access().map, HasSubstr("trying pages"));
    EXPECT_TRUE(vm.reads());
    EXPECT_EQ(vm.simulator().seen().connections, 1U);
  }
}

TEST(QueryPhysical, ConnectionThatEndsMeanwhile_TheVmComesBack) {
  for (const FaultKind kind : {FaultKind::close, FaultKind::close_amid, FaultKind::wrong_seq}) {
    AttachedVm vm{{}, with_small_hole()};
    ASSERT_TRUE(vm.attach("domain=simulated,timeout=60s,wait=60s,reconnect=60s"));
    vm.simulator().add_fault({.kind = kind, .id = kTreeQuery, .skip = 100});
    EXPECT_FALSE(vm.driver().refresh());
    EXPECT_TRUE(test::eventually([&] { return vm.reads(); }));
    EXPECT_EQ(ranges_of(vm), kExact);
  }
}

} // namespace
} // namespace vmemfs::kvmi
