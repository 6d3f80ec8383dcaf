// SPDX-License-Identifier: MIT
#include "drivers/qemu/layout/region_kinds.h"

#include <array>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

FoundRange found(std::string name, std::uint64_t begin, std::uint64_t size, Hva block,
                 std::uint64_t offset = 0) {
  return {
      {{Gpa{begin}, Gpa{begin + size}}, RegionKind::special, true, std::move(name), offset, block + offset},
      false,
      false,
      false,
      false};
}

std::vector<RegionKind> kinds(std::vector<FoundRange> ranges) {
  std::vector<RegionKind> result;
  for (const LayoutRange& range : with_kinds(std::move(ranges)).ranges) {
    result.push_back(range.kind);
  }
  return result;
}

using testing::ElementsAre;
using enum RegionKind;

// Arm's vexpress-a15: 32 MiB of static RAM and 8 MiB of video RAM are no main memory.
TEST(RegionKinds, OneBlockHasABackend_OthersAreDevices) {
  auto main = found("vexpress.highmem", 0x80000000, 256 * kMiB, 0x100000000);
  main.backend = true;
  EXPECT_THAT(kinds({found("vexpress.sram", 0x14000000, 32 * kMiB, 0x200000000), main}),
              ElementsAre(device, ram));
}

TEST(RegionKinds, NoBackends_SizeDecides) {
  EXPECT_THAT(kinds({found("r2d.sdram", 0x0c000000, 64 * kMiB, 0x100000000),
                     found("scratch", 0x20000000, kMiB / 2, 0x200000000)}),
              ElementsAre(ram, device));
}

TEST(RegionKinds, AllIsSmall_WritableIsMainMemory) {
  EXPECT_THAT(kinds({found("sram", 0x20000000, 16384, 0x100000000)}), ElementsAre(ram));
}

TEST(RegionKinds, BehindABar_IsADeviceEvenWithABackend) {
  auto main = found("pc.ram", 0, 64 * kMiB, 0x100000000);
  main.backend = true;
  auto shared = found("ivshmem", 0xfe000000, 4 * kMiB, 0x200000000);
  shared.backend = true;
  shared.behind_bar = true;
  EXPECT_THAT(kinds({main, shared}), ElementsAre(ram, device));
}

/// A guest can program a BAR to lie over its RAM; that must not take the RAM away.
TEST(RegionKinds, BarOverPartOfMainMemory_TheBlockIsMainMemory) {
  auto low = found("pc.ram", 0, 32 * kMiB, 0x100000000);
  low.backend = true;
  auto covered = found("pc.ram", 64 * kMiB, 32 * kMiB, 0x100000000, 64 * kMiB);
  covered.backend = true;
  covered.behind_bar = true;
  EXPECT_THAT(kinds({low, covered}), ElementsAre(ram, ram));
}

TEST(RegionKinds, RomOfAMainBlock_IsRom) {
  auto low = found("pc.ram", 0, 0xc0000, 0x100000000);
  auto shadow = found("pc.ram", 0xc0000, 0x10000, 0x100000000, 0xc0000);
  shadow.rom = true;
  EXPECT_THAT(kinds({low, shadow}), ElementsAre(ram, rom));
}

TEST(CutOut, HolesSplitRanges) {
  GuestLayout layout =
      with_kinds({found("a", 0, 0x8000, 0x100000000), found("b", 0x10000, 0x4000, 0x200000000)});
  const std::array holes{GpaRange{Gpa{0x1000}, Gpa{0x2000}}, GpaRange{Gpa{0x7000}, Gpa{0x11000}},
                         GpaRange{Gpa{0x20000}, Gpa{0x21000}}};
  cut_out(layout, holes);
  std::vector<std::string> text;
  for (const LayoutRange& range : layout.ranges) {
    EXPECT_EQ(range.block_base(), range.name == "a" ? 0x100000000 : 0x200000000);
    text.push_back(fmt::format("{} {:x}-{:x} @{:x}", range.name, range.range.begin.value(),
                               range.range.end.value(), range.offset));
  }
  EXPECT_THAT(text, ElementsAre("a 0-1000 @0", "a 2000-7000 @2000", "b 11000-14000 @1000"));
}

TEST(DescribeDifference, NamesBothSides) {
  const GuestLayout one = with_kinds({found("a", 0, 0x8000, 0x100000000)});
  const GuestLayout two =
      with_kinds({found("a", 0, 0x8000, 0x100000000), found("b", 0x8000, 0x1000, 0x300000000)});
  EXPECT_EQ(describe_difference(one, one), "");
  EXPECT_EQ(describe_difference(one, two),
            "the monitor has nothing more, the flat view 0x8000-0x9000 device b");
}

} // namespace
} // namespace vmemfs::qemu
