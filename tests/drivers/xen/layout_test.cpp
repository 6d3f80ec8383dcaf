// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/layout.h"

#include <gtest/gtest.h>

namespace vmemfs::xen {
namespace {

constexpr std::uint64_t kGib = std::uint64_t{1} << 30U;

std::vector<std::pair<GpaRange, RegionKind>> regions(const Layout& layout) {
  std::vector<std::pair<GpaRange, RegionKind>> result;
  for (const Region& region : layout.map.regions()) {
    result.emplace_back(region.range, region.kind);
  }
  return result;
}

std::pair<GpaRange, RegionKind> region(std::uint64_t begin, std::uint64_t end, RegionKind kind) {
  return {{Gfn{begin}.gpa(), Gfn{end}.gpa()}, kind};
}

// The numbers are what Xen 4.17 was seen to lay out.
const std::vector<std::uint64_t> kPvhSpecial{0xfefff, 0xfeffc};

TEST(XenLayout, ASmallPvhDomainIsAsLargeAsItsMemory) {
  const auto layout =
      hvm_layout({{0, 0x2000}, {0xfc000, 0xfc009}, {0xfeff8, 0xff000}}, DomainKind::pvh, kPvhSpecial);
  ASSERT_TRUE(layout);
  EXPECT_EQ(regions(*layout),
            (std::vector{region(0, 0x2000, RegionKind::ram), region(0xfc000, 0xfc009, RegionKind::rom),
                         region(0xfeff8, 0xff000, RegionKind::special)}));
  EXPECT_EQ(layout->map.ram_end(), Gpa{32U << 20U});
}

TEST(XenLayout, ALargePvhDomainsTablesAreNoMainMemory) {
  const auto layout =
      hvm_layout({{0, 0xfc009}, {0xfeff8, 0xff000}, {0x100000, 0x124000}}, DomainKind::pvh, kPvhSpecial);
  ASSERT_TRUE(layout);
  EXPECT_EQ(regions(*layout),
            (std::vector{region(0, 0xfc000, RegionKind::ram), region(0xfc000, 0xfc009, RegionKind::rom),
                         region(0xfeff8, 0xff000, RegionKind::special),
                         region(0x100000, 0x124000, RegionKind::ram)}));
  EXPECT_GT(layout->map.ram_end(), Gpa{4 * kGib});
}

TEST(XenLayout, AnHvmDomainHasADevicesMemoryBelow4Gib) {
  const auto layout =
      hvm_layout({{0, 0xa0}, {0xc0, 0x4000}, {0xf0000, 0xf1000}, {0xfc000, 0xfc00a}, {0xfeff0, 0xff000}},
                 DomainKind::hvm, {0xfefff, 0xfeff5});
  ASSERT_TRUE(layout);
  EXPECT_EQ(
      regions(*layout),
      (std::vector{region(0, 0xa0, RegionKind::ram), region(0xc0, 0x4000, RegionKind::ram),
                   region(0xf0000, 0xf1000, RegionKind::device), region(0xfc000, 0xfc00a, RegionKind::rom),
                   region(0xfeff0, 0xff000, RegionKind::special)}));
  EXPECT_EQ(layout->map.ram_end(), Gpa{64U << 20U});
  EXPECT_EQ(layout->frame_of(Gfn{0x1234}), 0x1234U);
}

TEST(XenLayout, OnlyMainAndDeviceMemoryIsWritable) {
  const auto layout =
      hvm_layout({{0, 0x100}, {0xf0000, 0xf1000}, {0xfc000, 0xff000}}, DomainKind::hvm, {0xfefff});
  ASSERT_TRUE(layout);
  for (const Region& here : layout->map.regions()) {
    EXPECT_EQ(here.writable, here.kind == RegionKind::ram || here.kind == RegionKind::device);
  }
}

TEST(XenLayout, PvFramesWithoutAPageAreHoles) {
  const Frame none = Layout::kNoFrame;
  const auto layout = pv_layout({0x500, 0x501, none, 0x400, none});
  ASSERT_TRUE(layout);
  EXPECT_EQ(regions(*layout), (std::vector{region(0, 2, RegionKind::ram), region(3, 4, RegionKind::ram)}));
  EXPECT_EQ(layout->frame_of(Gfn{3}), 0x400U);
  EXPECT_EQ(layout->map.ram_end(), Gpa{4 * kPageSize});
}

} // namespace
} // namespace vmemfs::xen
