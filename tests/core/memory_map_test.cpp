// SPDX-License-Identifier: MIT
#include "core/memory_map.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

Region region(std::uint64_t begin, std::uint64_t end, RegionKind kind = RegionKind::ram,
              std::uint32_t block = 0) {
  return {{Gpa{begin}, Gpa{end}}, kind, kind == RegionKind::ram, block, 0};
}

MemoryMap map_of(std::vector<Region> regions) {
  auto map = MemoryMap::build(std::move(regions), {"a", "b"});
  EXPECT_TRUE(map.has_value()) << map.error().message();
  return std::move(*map);
}

TEST(MemoryMap, EmptyMapIsOneHole) {
  const MemoryMap map;
  const auto stretch = map.at(Gpa{0});
  EXPECT_EQ(stretch.region, nullptr);
  EXPECT_EQ(stretch.range, (GpaRange{Gpa{0}, Gpa{kGpaLimit}}));
  EXPECT_EQ(map.ram_end(), Gpa{0});
}

TEST(MemoryMap, AnswersForEveryAddress) {
  const MemoryMap map = map_of({region(0x3000, 0x5000), region(0, 0x1000)});
  const auto expect = [&](std::uint64_t at, bool data, std::uint64_t end) {
    const auto stretch = map.at(Gpa{at});
    EXPECT_EQ(stretch.region != nullptr, data) << at;
    EXPECT_EQ(stretch.range, (GpaRange{Gpa{at}, Gpa{end}})) << at;
  };
  expect(0, true, 0x1000);
  expect(0xfff, true, 0x1000);
  expect(0x1000, false, 0x3000);
  expect(0x2fff, false, 0x3000);
  expect(0x3000, true, 0x5000);
  expect(0x4fff, true, 0x5000);
  expect(0x5000, false, kGpaLimit);
}

TEST(MemoryMap, OnlyRamCountsForTheSize) {
  const MemoryMap map = map_of({region(0, 0x1000), region(0x2000, 0x3000, RegionKind::rom),
                                region(0x3000, 0x5000), region(0x10000, 0x20000, RegionKind::device)});
  EXPECT_EQ(map.ram_end(), Gpa{0x5000});
  EXPECT_EQ(map.ram_bytes(), 0x3000U);
  EXPECT_EQ(map.data_bytes(), 0x4000U);
}

TEST(MemoryMap, DataBytesCutsARegionAtTheEndOfRam) {
  auto map = MemoryMap::build({region(0, 0x1000), region(0x1000, 0x9000, RegionKind::rom)}, {"a"});
  ASSERT_TRUE(map.has_value());
  EXPECT_EQ(map->data_bytes(), 0x1000U);
}

TEST(MemoryMap, AdjacentRegionsAreNoOverlap) {
  EXPECT_TRUE(MemoryMap::build({region(0, 0x1000), region(0x1000, 0x2000)}, {"a"}).has_value());
}

// One case for each way in which two ranges can share bytes.
struct Overlap {
  std::uint64_t begin;
  std::uint64_t end;
};
class MemoryMapOverlap : public testing::TestWithParam<Overlap> {};

TEST_P(MemoryMapOverlap, IsRefused) {
  const auto [begin, end] = GetParam();
  const auto map = MemoryMap::build({region(0x2000, 0x4000), region(begin, end)}, {"a"});
  ASSERT_FALSE(map.has_value());
  EXPECT_NE(map.error().text.find("overlaps"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Shapes, MemoryMapOverlap,
                         testing::Values(Overlap{0x2000, 0x4000}, Overlap{0x1000, 0x2001},
                                         Overlap{0x3fff, 0x5000}, Overlap{0x2800, 0x3000},
                                         Overlap{0x1000, 0x5000}, Overlap{0x2000, 0x3000},
                                         Overlap{0x3000, 0x4000}));

TEST(MemoryMap, RefusesWhatCanNotBe) {
  EXPECT_FALSE(MemoryMap::build({region(0x1000, 0x1000)}, {"a"}).has_value());
  EXPECT_FALSE(MemoryMap::build({region(0x2000, 0x1000)}, {"a"}).has_value());
  EXPECT_FALSE(MemoryMap::build({region(0, kGpaLimit)}, {"a"}).has_value());
  EXPECT_FALSE(MemoryMap::build({region(0, 0x1000, RegionKind::ram, 1)}, {"a"}).has_value());
}

} // namespace
} // namespace vmemfs
