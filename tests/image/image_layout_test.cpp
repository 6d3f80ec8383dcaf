// SPDX-License-Identifier: MIT
#include "image/image_layout.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

Region region(std::uint64_t begin, std::uint64_t end, RegionKind kind = RegionKind::ram) {
  return {{Gpa{begin}, Gpa{end}}, kind, true, 0, begin};
}

TEST(ImageRanges, AdjacentRegions_AreOneRange) {
  const auto map = MemoryMap::build({region(0, 0xa0000), region(0xc0000, 0xf0000),
                                     region(0xf0000, 0x100000, RegionKind::rom), region(0x100000, 0x200000)},
                                    {"ram"});
  EXPECT_EQ(image_ranges(*map),
            (std::vector<GpaRange>{{Gpa{0}, Gpa{0xa0000}}, {Gpa{0xc0000}, Gpa{0x200000}}}));
  EXPECT_EQ(bytes_of(image_ranges(*map)), map->data_bytes());
}

TEST(ImageRanges, AboveMainMemory_LeftOut) {
  const auto map = MemoryMap::build({region(0, 0x1000), region(0x8000, 0x9000, RegionKind::rom)}, {"ram"});
  EXPECT_EQ(image_ranges(*map), (std::vector<GpaRange>{{Gpa{0}, Gpa{0x1000}}}));
  EXPECT_TRUE(image_ranges(MemoryMap{}).empty());
}

TEST(ImageLayout, PartsFrom_BeginWithThePartOfTheOffset) {
  ImageLayout layout;
  layout.add_made(0);
  layout.add_made(10);
  layout.add_guest({Gpa{0x1000}, Gpa{0x1005}});
  layout.add_guest({Gpa{5}, Gpa{5}});
  EXPECT_EQ(layout.parts_from(0).size(), 2U);
  EXPECT_EQ(layout.parts_from(9).size(), 2U);
  EXPECT_EQ(layout.parts_from(10).size(), 1U);
  EXPECT_EQ(layout.parts_from(14).size(), 1U);
  EXPECT_TRUE(layout.parts_from(15).empty());
  EXPECT_TRUE(layout.parts_from(~std::uint64_t{0}).empty());
}

} // namespace
} // namespace vmemfs
