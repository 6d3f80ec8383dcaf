// SPDX-License-Identifier: MIT
#include "drivers/kvm/layout/slot_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <vector>

namespace vmemfs::kvm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Hva kRam = 0x7f0000000000;
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kMiBPages = kMiB / kPageSize;

Vma anonymous(Hva begin, Hva end) {
  return {.range = {begin, end}, .readable = true, .writable = true, .path = {}};
}

Vma file(Hva begin, Hva end, std::uint64_t offset, std::string path) {
  return {.range = {begin, end},
          .readable = true,
          .writable = true,
          .shared = true,
          .file_offset = offset,
          .device_minor = 1,
          .inode = 5,
          .path = std::move(path)};
}

Slot slot(std::uint64_t mib, std::uint64_t mibs, Hva hva, std::uint32_t flags = 0) {
  return {.gfn = mib * kMiBPages, .pages = mibs * kMiBPages, .hva = hva, .flags = flags};
}

SlotLayout layout(const std::vector<Slot>& slots, const std::vector<Vma>& maps) {
  auto made = layout_from_slots(slots, maps, 42);
  EXPECT_TRUE(made.has_value()) << made.error().message();
  return made ? std::move(*made) : SlotLayout{};
}

GpaRange mibs(std::uint64_t begin, std::uint64_t end) { return {Gpa{begin * kMiB}, Gpa{end * kMiB}}; }

TEST(SlotLayout, RamInTwoSlotsOfOneMapping_HasAHoleBetween) {
  const auto made =
      layout({slot(0, 3, kRam), slot(4, 1, kRam + 3 * kMiB)}, {anonymous(kRam, kRam + 8 * kMiB)});
  EXPECT_THAT(made.left_out, IsEmpty());
  EXPECT_EQ(made.layout.stamp, 42U);
  EXPECT_THAT(
      made.layout.ranges,
      ElementsAre(LayoutRange{mibs(0, 3), RegionKind::ram, true, "anonymous", 0, kRam},
                  LayoutRange{mibs(4, 5), RegionKind::ram, true, "anonymous", 3 * kMiB, kRam + 3 * kMiB}));
}

TEST(SlotLayout, AdjacentSlotsThatContinueEachOther_AreOneRange) {
  const auto made = layout({slot(0, 1, kRam), slot(1, 1, kRam + kMiB)}, {anonymous(kRam, kRam + 2 * kMiB)});
  ASSERT_THAT(made.layout.ranges, SizeIs(1));
  EXPECT_EQ(made.layout.ranges.front().range, mibs(0, 2));
}

TEST(SlotLayout, SlotOverSeveralMappings_IsSplit) {
  const auto made =
      layout({slot(0, 4, kRam)},
             {file(kRam, kRam + kMiB, 0, "/var/snapshot"), anonymous(kRam + kMiB, kRam + 2 * kMiB),
              file(kRam + 3 * kMiB, kRam + 9 * kMiB, 3 * kMiB, "/memfd:x (deleted)")});
  ASSERT_THAT(made.layout.ranges, SizeIs(3));
  EXPECT_EQ(made.layout.ranges[0].name, "/var/snapshot");
  EXPECT_EQ(made.layout.ranges[1].name, "anonymous");
  EXPECT_EQ(made.layout.ranges[2].name, "memfd:x");
  EXPECT_EQ(made.layout.ranges[2].offset, 3 * kMiB);
  EXPECT_EQ(made.layout.ranges[2].range, mibs(3, 4));
  ASSERT_THAT(made.left_out, SizeIs(1));
  EXPECT_EQ(made.left_out.front().range, mibs(2, 3));
}

TEST(SlotLayout, ReadOnlySlot_IsRom) {
  const auto made = layout({slot(0, 1, kRam, 2)}, {anonymous(kRam, kRam + kMiB)});
  ASSERT_THAT(made.layout.ranges, SizeIs(1));
  EXPECT_EQ(made.layout.ranges.front().kind, RegionKind::rom);
  EXPECT_FALSE(made.layout.ranges.front().writable);
}

TEST(SlotLayout, RamThatTheProcessMayOnlyRead_IsNotWritable) {
  Vma kernel = file(kRam, kRam + kMiB, 0, "/usr/lib/libkrunfw.so.5");
  kernel.writable = false;
  const auto made = layout({slot(0, 1, kRam)}, {kernel});
  ASSERT_THAT(made.layout.ranges, SizeIs(1));
  EXPECT_EQ(made.layout.ranges.front().kind, RegionKind::ram);
  EXPECT_FALSE(made.layout.ranges.front().writable);
}

TEST(SlotLayout, WhatCannotBeRead_IsLeftOutWithItsReason) {
  Vma closed = anonymous(kRam + kMiB, kRam + 2 * kMiB);
  closed.readable = false;
  const auto made =
      layout({slot(0, 1, kRam, 4), slot(1, 1, kRam + kMiB), slot(2, 1, kRam + 2 * kMiB),
              slot(3, 1, kRam + 3 * kMiB)},
             {anonymous(kRam, kRam + kMiB), closed, file(kRam + 2 * kMiB, kRam + 3 * kMiB, 0, "/dev/vfio/7"),
              file(kRam + 3 * kMiB, kRam + 4 * kMiB, 0, "/dev/shm/guest")});
  ASSERT_THAT(made.left_out, SizeIs(3));
  EXPECT_THAT(made.left_out[0].why, HasSubstr("guest_memfd"));
  EXPECT_THAT(made.left_out[1].why, HasSubstr("without read access"));
  EXPECT_THAT(made.left_out[2].why, HasSubstr("device"));
  ASSERT_THAT(made.layout.ranges, SizeIs(1));
  EXPECT_EQ(made.layout.ranges.front().range, mibs(3, 4));
}

TEST(SlotLayout, SlotsOfSystemManagementModeAndOfKvm_AreNotMemoryOfTheGuest) {
  Slot smram = slot(1, 1, kRam);
  smram.address_space = 1;
  Slot apic = slot(2, 1, kRam);
  apic.id = 32764;
  const auto made = layout({smram, apic}, {anonymous(kRam, kRam + kMiB)});
  EXPECT_THAT(made.layout.ranges, IsEmpty());
  EXPECT_THAT(made.left_out, SizeIs(1));
}

TEST(SlotLayout, SlotsThatCannotBe_AreRefused) {
  const std::vector<Vma> maps{anonymous(kRam, kRam + 8 * kMiB)};
  const auto refused = [&](std::vector<Slot> slots) {
    const auto made = layout_from_slots(slots, maps, 0);
    return !made && made.error().kind == ErrorKind::source_failed;
  };
  EXPECT_TRUE(refused({slot(0, 2, kRam), slot(1, 1, kRam)})) << "overlap";
  EXPECT_TRUE(refused({slot(4, 1, kRam), slot(0, 1, kRam)})) << "order";
  EXPECT_TRUE(refused({slot(0, 0, kRam)})) << "empty";
  EXPECT_TRUE(refused({slot(0, 1, kRam + 1)})) << "not whole pages";
  EXPECT_TRUE(refused({{.gfn = ~std::uint64_t{0}, .pages = 2, .hva = kRam}}));
  EXPECT_TRUE(refused({{.gfn = 0, .pages = ~std::uint64_t{0}, .hva = kRam}}));
  EXPECT_TRUE(refused({{.gfn = 0, .pages = 2, .hva = ~(kPageSize - 1)}}));
}

TEST(SlotLayout, TooManyPieces_AreRefused) {
  std::vector<Slot> slots;
  for (std::uint64_t i = 0; i <= kMaxRanges; ++i) {
    slots.push_back({.gfn = 2 * i, .pages = 1, .hva = kRam});
  }
  EXPECT_FALSE(layout_from_slots(slots, {anonymous(kRam, kRam + kMiB)}, 0).has_value());
  std::vector<Vma> maps;
  for (std::uint64_t i = 0; i <= kMaxRanges; ++i) {
    maps.push_back(file(kRam + 2 * i * kPageSize, kRam + (2 * i + 1) * kPageSize, 0, "/x"));
  }
  EXPECT_FALSE(layout_from_slots(std::vector{slot(0, 4096, kRam)}, maps, 0).has_value());
}

} // namespace
} // namespace vmemfs::kvm
