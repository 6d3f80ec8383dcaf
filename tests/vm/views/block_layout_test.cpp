// SPDX-License-Identifier: MIT
#include "vm/views/block_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using testing::ElementsAre;

GpaRange range(std::uint64_t begin, std::uint64_t end) { return {Gpa{begin}, Gpa{end}}; }

Region region(GpaRange where, std::uint32_t block, std::uint64_t offset, bool writable = true) {
  return {where, writable ? RegionKind::ram : RegionKind::rom, writable, block, offset};
}

TEST(BlockNames, NamesAsInMaps_MadeSafeAndNumbered) {
  const auto map = MemoryMap::build({region(range(0x0000, 0x1000), 1, 0), region(range(0x1000, 0x2000), 0, 0),
                                     region(range(0x2000, 0x3000), 2, 0), region(range(0x3000, 0x4000), 3, 0),
                                     region(range(0x4000, 0x5000), 4, 0)},
                                    {"vga.vram", "pc.ram", "vga.vram", "/rom@etc/acpi", "", "unused"});
  EXPECT_THAT(block_names(*map),
              ElementsAre("vga.vram", "pc.ram", "vga.vram-1", "_rom@etc_acpi", "block", ""));
}

TEST(BlockNames, NameOfAnotherWithANumber_IsTaken) {
  const auto map =
      MemoryMap::build({region(range(0x0000, 0x1000), 0, 0), region(range(0x1000, 0x2000), 1, 0),
                        region(range(0x2000, 0x3000), 2, 0), region(range(0x3000, 0x4000), 3, 0)},
                       {"a-1", "a", "a", "a"});
  EXPECT_THAT(block_names(*map), ElementsAre("a-1", "a", "a-2", "a-3"));
}

TEST(BlockNames, ThousandsOfOneName_AreLimited) {
  std::vector<Region> regions;
  for (std::uint32_t i = 0; i < 16384; ++i) {
    regions.push_back(region(range(i * 0x1000U, (i + 1) * 0x1000U), i, 0));
  }
  const auto map = MemoryMap::build(std::move(regions), std::vector<std::string>(16384, "anonymous"));
  const auto names = block_names(*map);
  EXPECT_EQ(names[kMaxNamedBlocks - 1], "anonymous-1023");
  EXPECT_EQ(names[kMaxNamedBlocks], "");
}

TEST(BlockLayoutTest, PartsBehindOneAnotherWithHiddenOnesBetween) {
  // As of a pc: low memory, a part behind video memory, and the rest above 4 GiB.
  const auto map = MemoryMap::build({region(range(0, 0xa0000), 0, 0), region(range(0xa0000, 0xc0000), 1, 0),
                                     region(range(0xc0000, 0x100000), 0, 0xc0000, false),
                                     region(range(0x100000000, 0x100100000), 0, 0x100000)},
                                    {"pc.ram", "vga.vram"});
  const auto layout = block_layout(*map, "pc.ram");
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->end(), 0x200000U);
  ASSERT_EQ(layout->parts.size(), 3U);
  EXPECT_EQ(layout->parts[1].begin, 0xc0000U);
  EXPECT_EQ(layout->parts[1].end, 0x100000U);
  EXPECT_EQ(layout->parts[2].gpa, Gpa{0x100000000});
  EXPECT_FALSE(block_layout(*map, "nothing"));
  EXPECT_FALSE(block_layout(*map, ""));
}

TEST(BlockLayoutTest, SeveralAddressesOfOnePart_TheWritableOneCounts) {
  const auto map = MemoryMap::build({region(range(0xe0000, 0x100000), 0, 0x20000, false),
                                     region(range(0x200000, 0x220000), 0, 0x20000),
                                     region(range(0xfffc0000, 0x100000000), 0, 0, false)},
                                    {"pc.bios"});
  const auto layout = block_layout(*map, "pc.bios");
  ASSERT_TRUE(layout);
  ASSERT_EQ(layout->parts.size(), 1U);
  EXPECT_EQ(layout->parts[0].gpa, Gpa{0xfffc0000});
  EXPECT_EQ(layout->end(), 0x40000U);
}

} // namespace
} // namespace vmemfs
