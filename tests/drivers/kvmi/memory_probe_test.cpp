// SPDX-License-Identifier: MIT
#include "drivers/kvmi/memory/memory_probe.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace vmemfs::kvmi {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

struct Found {
  std::vector<GpaRange> ranges;
  std::size_t rounds = 0;
  std::size_t pages = 0;
};

Found find_in(const std::vector<GpaRange>& memory, std::uint64_t end) {
  Found found;
  const auto ranges = find_memory(end, [&](std::span<const Gpa> pages, std::span<std::uint8_t> present) {
    ++found.rounds;
    found.pages += pages.size();
    for (std::size_t i = 0; i < pages.size(); ++i) {
      EXPECT_LT(pages[i].value(), end);
      EXPECT_EQ(pages[i].page_offset(), 0U);
      present[i] =
          std::ranges::any_of(memory, [&](const GpaRange& range) { return range.contains(pages[i]); }) ? 1
                                                                                                       : 0;
    }
    return Result<void>{};
  });
  found.ranges = ranges.value();
  return found;
}

GpaRange range(std::uint64_t begin, std::uint64_t end) { return {Gpa{begin}, Gpa{end}}; }

TEST(MemoryProbe, MemoryOfAPc_IsFoundToThePage) {
  const std::vector<GpaRange> memory{range(0, 0xa0000), range(0xc0000, 0xe5000), range(0xf0000, 0xbfff3000),
                                     range(0xfffc0000, 4 * kGiB), range(4 * kGiB, 9 * kGiB + 0x7000)};
  const Found found = find_in(memory, 9 * kGiB + 0x7000);
  EXPECT_EQ(found.ranges,
            (std::vector<GpaRange>{memory[0], memory[1], memory[2], range(0xfffc0000, 9 * kGiB + 0x7000)}));
  EXPECT_LE(found.rounds, 12U);
  EXPECT_LE(found.pages, 9'600U);
}

TEST(MemoryProbe, SmallAndOddEnds) {
  for (const std::uint64_t end :
       {std::uint64_t{0x1000}, std::uint64_t{0xff000}, kMiB, kMiB + 0x1000, 3 * kMiB - 0x1000}) {
    EXPECT_EQ(find_in({range(0, end)}, end).ranges, (std::vector<GpaRange>{range(0, end)})) << end;
  }
  EXPECT_TRUE(find_in({}, 64 * kMiB).ranges.empty());
}

TEST(MemoryProbe, LargeVm_TakesBoundedTries) {
  const std::uint64_t end = std::uint64_t{1} << 45U;
  const Found found = find_in({range(0, end)}, end);
  EXPECT_EQ(found.ranges, (std::vector<GpaRange>{range(0, end)}));
  EXPECT_LE(found.pages, 70'000U);
}

TEST(MemoryProbe, VmThatAnswersAtRandom_IsRefused) {
  std::uint8_t turn = 0;
  const auto ranges =
      find_memory(64 * kGiB, [&](std::span<const Gpa> /*pages*/, std::span<std::uint8_t> present) {
        std::ranges::generate(present, [&] { return turn ^= 1U; });
        return Result<void>{};
      });
  ASSERT_FALSE(ranges);
  EXPECT_EQ(ranges.error().kind, ErrorKind::source_failed);
}

TEST(MemoryProbe, Firmware_IsNoMainMemory) {
  const std::vector<GpaRange> ranges{range(0, 512 * kMiB), range(4 * kGiB - 2 * kMiB, 4 * kGiB)};
  const auto map = map_of(ranges);
  ASSERT_TRUE(map);
  EXPECT_EQ(map->ram_end(), Gpa{512 * kMiB});
  EXPECT_EQ(map->regions()[1].kind, RegionKind::rom);
  EXPECT_FALSE(map->regions()[1].writable);
}

TEST(MemoryProbe, FirmwareBelowMainMemory_IsARegionOfItsOwn) {
  const std::vector<GpaRange> ranges{range(0, 3 * kGiB), range(4 * kGiB - 2 * kMiB, 9 * kGiB)};
  const auto map = map_of(ranges);
  ASSERT_TRUE(map);
  ASSERT_EQ(map->regions().size(), 3U);
  EXPECT_EQ(map->regions()[1].kind, RegionKind::rom);
  EXPECT_EQ(map->regions()[1].range, range(4 * kGiB - 2 * kMiB, 4 * kGiB));
  EXPECT_EQ(map->regions()[2].kind, RegionKind::ram);
  EXPECT_EQ(map->regions()[2].range, range(4 * kGiB, 9 * kGiB));
  EXPECT_EQ(map->ram_bytes(), 8 * kGiB);
  // Memory that goes on through 4 GiB is no firmware.
  EXPECT_EQ(map_of(std::vector<GpaRange>{range(0, 9 * kGiB)})->ram_bytes(), 9 * kGiB);
}

} // namespace
} // namespace vmemfs::kvmi
