// SPDX-License-Identifier: MIT
#include "arch/aarch64/page_walk.h"

#include <gtest/gtest.h>
#include <map>

namespace vmemfs::aarch64 {
namespace {

constexpr std::uint64_t kTable = 3; ///< and a page of the last level
constexpr std::uint64_t kBlock = 1;
constexpr std::uint64_t kUpperRights = 0x0060'0000'0000'0f00; ///< XN, AF, SH: of no address

/// Entries by address; all others are 0. Addresses from 16 MiB on cannot be read.
struct Tables {
  std::map<std::uint64_t, std::uint64_t> entries;
  unsigned reads = 0;
  ReadEntry read = [this](Gpa gpa) -> std::optional<std::uint64_t> {
    ++reads;
    if (gpa >= Gpa{0x100'0000}) {
      return std::nullopt;
    }
    const auto found = entries.find(gpa.value());
    return found != entries.end() ? found->second : 0;
  };

  [[nodiscard]] std::optional<Gpa> gpa(const Paging& paging, std::uint64_t address) const {
    const auto mapped = translate(paging, address, read);
    return mapped ? std::optional{mapped->gpa} : std::nullopt;
  }
};

TEST(AArch64PageWalk, PagesOfEachSizeOf4K_AreTranslated) {
  Tables tables;
  tables.entries = {{0x1000 + 511 * 8, 0x2000 | kTable},
                    {0x2000 + 510 * 8, 0x3000 | kTable},
                    {0x2000 + 511 * 8, 0x4000'0000 | kUpperRights | kBlock},
                    {0x3000 + 8 * 8, 0x4000 | kTable},
                    {0x3000 + 9 * 8, 0x0020'0000 | kUpperRights | kBlock},
                    {0x4000 + 1 * 8, 0x1234'5000 | kUpperRights | kTable}};
  const Paging paging{.root = Gpa{0x1000}};
  EXPECT_EQ(paging.levels(), 4U);
  EXPECT_EQ(translate(paging, 0xffff'ffff'8100'1abc, tables.read),
            (MappedAddress{0xffff'ffff'8100'1abc, Gpa{0x1234'5abc}, 0x544}));
  EXPECT_EQ(translate(paging, 0xffff'ffff'8123'4567, tables.read),
            (MappedAddress{0xffff'ffff'8123'4567, Gpa{0x23'4567}, 0x20'0000 - 0x3'4567}));
  EXPECT_EQ(translate(paging, 0xffff'ffff'c123'4567, tables.read),
            (MappedAddress{0xffff'ffff'c123'4567, Gpa{0x4123'4567}, 0x4000'0000 - 0x123'4567}));
  EXPECT_EQ(tables.gpa(paging, 0xffff'ffff'8100'2000), std::nullopt);
  EXPECT_EQ(tables.gpa(paging, 0x0000'ffff'8100'1abc), std::nullopt) << "of the other half";
}

TEST(AArch64PageWalk, LowerHalf_IsThatOfProcesses) {
  Tables tables;
  tables.entries = {{0x1000, 0x2000 | kTable}, {0x2000, 0x8000'0000 | kBlock}};
  const Paging paging{.root = Gpa{0x1000}, .address_bits = 39, .upper = false};
  EXPECT_EQ(paging.levels(), 3U);
  EXPECT_EQ(tables.gpa(paging, 0x12'3456), Gpa{0x8012'3456}) << "a block of 2 MiB";
  tables.entries = {
      {0x1000, 0x2000 | kTable}, {0x2000, 0x3000 | kTable}, {0x3000 + 0x123 * 8, 0x5000 | kTable}};
  EXPECT_EQ(tables.gpa(paging, 0x12'3456), Gpa{0x5456});
  EXPECT_EQ(tables.gpa(paging, 0xffff'ff80'0012'3456), std::nullopt);
}

TEST(AArch64PageWalk, Granule16K_IsTranslated) {
  Tables tables;
  // Indexes of 1, 11, 11 and 11 bits.
  tables.entries = {{0x4000 + 1 * 8, 0x8000 | kTable},
                    {0x8000 + 2047 * 8, 0xc000 | kTable},
                    {0xc000 + 2046 * 8, 0x200'0000 | kBlock},
                    {0xc000 + 2047 * 8, 0x1'0000 | kTable},
                    {0x1'0000 + 2047 * 8, 0x5'4000 | kTable}};
  const Paging paging{.root = Gpa{0x4000}, .page_shift = 14, .address_bits = 48};
  EXPECT_EQ(paging.levels(), 4U);
  EXPECT_EQ(tables.gpa(paging, 0xffff'ffff'ffff'ffff), Gpa{0x5'7fff});
  EXPECT_EQ(tables.gpa(paging, 0xffff'ffff'fc00'0001), Gpa{0x200'0001});
  const Paging three{.root = Gpa{0x8000}, .page_shift = 14, .address_bits = 47};
  EXPECT_EQ(three.levels(), 3U);
  EXPECT_EQ(tables.gpa(three, 0xffff'ffff'ffff'ffff), Gpa{0x5'7fff});
}

TEST(AArch64PageWalk, Granule64KWith52Bits_HasHighAddressBitsBelow) {
  Tables tables;
  // Indexes of 10, 13 and 13 bits.
  tables.entries = {{0x1'0000 + 1023 * 8, 0x2'0000 | kTable},
                    {0x2'0000 + 8191 * 8, 0x3'0000 | kTable},
                    {0x3'0000 + 8191 * 8, 0x12'a000 | kTable}};
  const Paging paging{.root = Gpa{0x1'0000}, .page_shift = 16, .address_bits = 52};
  EXPECT_EQ(paging.levels(), 3U);
  EXPECT_EQ(tables.gpa(paging, 0xffff'ffff'ffff'fffe), Gpa{0x000a'0000'0012'fffe});
  const Paging with_48{.root = Gpa{0x1'0000 + 960 * 8}, .page_shift = 16, .address_bits = 48};
  EXPECT_EQ(tables.gpa(with_48, 0xffff'ffff'ffff'fffe), Gpa{0x000a'0000'0012'fffe}) << "the last 64 entries";
}

TEST(AArch64PageWalk, Granule4KWith52Bits_HasFiveLevels) {
  Tables tables;
  tables.entries = {{0x1000 + 15 * 8, 0x2000 | kTable},
                    {0x2000 + 511 * 8, 0x3000 | kTable},
                    {0x3000 + 511 * 8, 0x0001'0000'4000'0000 | 0x300 | kBlock}};
  const Paging paging{.root = Gpa{0x1000}, .address_bits = 52};
  EXPECT_EQ(paging.levels(), 5U);
  EXPECT_EQ(tables.gpa(paging, 0xffff'ffff'c000'1234), Gpa{0x000d'0000'4000'1234})
      << "bits 8 and 9 are 50 and 51";
}

TEST(AArch64PageWalk, TablesThatCannotBeReadOrPointToThemselves_End) {
  Tables tables;
  tables.entries = {{0x1000, 0x200'0000 | kTable}, {0x1008, 0x1000 | kTable}};
  const Paging paging{.root = Gpa{0x1000}, .upper = false};
  EXPECT_EQ(tables.gpa(paging, 0), std::nullopt);
  tables.reads = 0;
  EXPECT_EQ(tables.gpa(paging, 1ULL << 39U), std::nullopt);
  EXPECT_LE(tables.reads, paging.levels());
}

TEST(AArch64PageWalk, EntriesThatAreReserved_AreNotMapped) {
  Tables tables;
  const Paging paging{.root = Gpa{0x1000}, .upper = false};
  tables.entries = {{0x1000, 0x4000'0000 | kBlock}};
  EXPECT_EQ(tables.gpa(paging, 0), std::nullopt) << "no block of 512 GiB";
  tables.entries = {{0x1000, 0x2000 | kTable},
                    {0x2000, 0x3000 | kTable},
                    {0x3000, 0x4000 | kTable},
                    {0x4000, 0x5000 | kBlock}};
  EXPECT_EQ(tables.gpa(paging, 0), std::nullopt) << "a page has both bits";
}

TEST(AArch64PageWalk, ImpossibleSettings_MapNothing) {
  Tables tables;
  for (const Paging& paging : {Paging{.page_shift = 13}, Paging{.page_shift = 0}, Paging{.address_bits = 53},
                               Paging{.address_bits = 35}, Paging{.address_bits = 0}}) {
    EXPECT_EQ(tables.gpa(paging, ~std::uint64_t{0}), std::nullopt);
    EXPECT_EQ(first_mapped(paging, tables.read), std::nullopt);
  }
  EXPECT_EQ(tables.reads, 0U);
}

TEST(AArch64PageWalk, FirstMapped_IsTheLowestAddress) {
  Tables tables;
  tables.entries = {{0x1000 + 2 * 8, 0x2000 | kTable},
                    {0x2000 + 3 * 8, 0x3000 | kTable},
                    {0x3000 + 4 * 8, 0x4020'0000 | kBlock}};
  const Paging paging{.root = Gpa{0x1000}};
  const std::uint64_t address = 0xffff'0000'0000'0000 + (2ULL << 39U) + (3ULL << 30U) + (4ULL << 21U);
  EXPECT_EQ(first_mapped(paging, tables.read), (MappedAddress{address, Gpa{0x4020'0000}, 0x20'0000}));
  tables.entries.erase(0x3000 + 4 * 8);
  EXPECT_EQ(first_mapped(paging, tables.read), std::nullopt);
}

} // namespace
} // namespace vmemfs::aarch64
