// SPDX-License-Identifier: MIT
#include "arch/x86_64/page_walk.h"

#include <gtest/gtest.h>
#include <map>

namespace vmemfs::x86_64 {
namespace {

constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kLarge = 0x80;

/// Entries by address; all others are 0. Addresses from 1 MiB on cannot be read.
struct Tables {
  std::map<std::uint64_t, std::uint64_t> entries;
  unsigned reads = 0;
  ReadEntry read = [this](Gpa gpa) -> std::optional<std::uint64_t> {
    ++reads;
    if (gpa >= Gpa{0x100000}) {
      return std::nullopt;
    }
    const auto found = entries.find(gpa.value());
    return found != entries.end() ? found->second : 0;
  };
};

TEST(PageWalk, PagesOfEachSize_AreTranslated) {
  Tables tables;
  tables.entries = {{0x1000 + 511 * 8, 0x2000 | kPresent},
                    {0x2000 + 510 * 8, 0x3000 | kPresent},
                    {0x2000 + 511 * 8, 0x4000'0000 | kLarge | kPresent},
                    {0x3000 + 8 * 8, 0x4000 | kPresent},
                    {0x3000 + 9 * 8, 0x8000'0000'0020'0000 | kLarge | kPresent},
                    {0x4000 + 1 * 8, 0x8000'0000'1234'5067 | kPresent}};
  const PageTables walk{Gpa{0x1000}, PageTables::kLevels, tables.read};
  EXPECT_EQ(walk.translate(0xffff'ffff'8100'1abc), Gpa{0x1234'5abc});
  EXPECT_EQ(walk.translate(0xffff'ffff'8123'4567), Gpa{0x23'4567});
  EXPECT_EQ(walk.translate(0xffff'ffff'c123'4567), Gpa{0x4123'4567});
  EXPECT_EQ(walk.translate(0xffff'ffff'8100'2000), std::nullopt);
  EXPECT_EQ(walk.translate(0xffff'ffff'0000'0000), std::nullopt);
  EXPECT_EQ(walk.translate(0x0000'ffff'8100'1abc), std::nullopt) << "not canonical";
}

TEST(PageWalk, FiveLevels_AreTranslated) {
  Tables tables;
  tables.entries = {{0x1000 + 273 * 8, 0x2000 | kPresent},
                    {0x2000 + 3 * 8, 0x3000 | kPresent},
                    {0x3000 + 5 * 8, 0x8000'0000 | kLarge | kPresent}};
  const PageTables walk{Gpa{0x1000}, PageTables::kLevelsWithLa57, tables.read};
  const std::uint64_t address = 0xff11'0000'0000'0000 + (3ULL << 39U) + (5ULL << 30U);
  EXPECT_EQ(walk.translate(address + 0x12345), Gpa{0x8001'2345});
  EXPECT_EQ(walk.first_mapped(273), address);
  EXPECT_EQ(walk.first_mapped(200), address);
  EXPECT_EQ(walk.first_mapped(274), std::nullopt);
}

TEST(PageWalk, TablesThatCannotBeReadOrPointToThemselves_End) {
  Tables tables;
  tables.entries = {{0x1000, 0x10'0000 | kPresent}, {0x1008, 0x1000 | kPresent}};
  const PageTables walk{Gpa{0x1000}, PageTables::kLevels, tables.read};
  EXPECT_EQ(walk.translate(0), std::nullopt);
  tables.reads = 0;
  EXPECT_EQ(walk.translate(1ULL << 39U), std::nullopt);
  EXPECT_LE(tables.reads, 4U);
  EXPECT_EQ(walk.top_entry(1), Gpa{0x1000});
  EXPECT_EQ(walk.top_entry(2), std::nullopt);
  tables.entries = {{0x1000, 0x1000 | kPresent}};
  EXPECT_EQ(walk.first_mapped(0), 0U);
}

} // namespace
} // namespace vmemfs::x86_64
