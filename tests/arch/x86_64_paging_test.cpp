// SPDX-License-Identifier: MIT
// Every paging mode, over tables that are written here as the manuals of Intel and AMD describe them.
#include "arch/aarch64/registers.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/registers.h"
#include "page_entries.h"

#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <utility>

namespace vmemfs::x86_64 {
namespace {

constexpr std::uint64_t kGiB = 1U << 30U;

class PagingTest : public testing::Test {
protected:
  /// Entries of 8 bytes by address; all others are 0. Addresses from 1 MiB on cannot be read.
  std::map<std::uint64_t, std::uint64_t> entries_;
  unsigned reads_ = 0;

  std::optional<MappedAddress> at(std::uint64_t address) {
    return translate(paging_, address, [this](Gpa gpa) -> std::optional<std::uint64_t> {
      ++reads_;
      EXPECT_EQ(gpa.value() % 8, 0U);
      if (gpa >= Gpa{kMiB}) {
        return std::nullopt;
      }
      const auto found = entries_.find(gpa.value());
      return found != entries_.end() ? found->second : 0;
    });
  }
  std::optional<Gpa> gpa_of(std::uint64_t address) {
    const auto mapped = at(address);
    return mapped ? std::optional{mapped->gpa} : std::nullopt;
  }
  void put32(std::uint64_t address, std::uint64_t entry) {
    entries_[address & ~7ULL] |= entry << ((address & 4U) != 0 ? 32U : 0U);
  }

  Paging paging_{PagingMode::level4, Gpa{0x1000}, true, true};
};

TEST_F(PagingTest, FourLevels_PagesOfEachSize) {
  entries_ = {{0x1000 + 511 * 8, 0x2000 | kAll},
              {0x2000 + 510 * 8, 0x3000 | kAll},
              {0x2000 + 511 * 8, kGiB | kLarge | 0x1000 | kAll}, // bit 12 of a large page is PAT
              {0x3000 + 8 * 8, 0x4000 | kAll},
              {0x3000 + 9 * 8, kNoExecute | 2 * kMiB | kLarge | kPresent},
              {0x4000 + 1 * 8, kNoExecute | 0x1234'5067}};
  EXPECT_EQ(at(0xffff'ffff'8100'1abc),
            (MappedAddress{Gpa{0x1234'5abc}, 0x544, {.write = true, .user = true, .execute = false}}));
  EXPECT_EQ(at(0xffff'ffff'8123'4567),
            (MappedAddress{
                Gpa{0x23'4567}, 2 * kMiB - 0x3'4567, {.write = false, .user = false, .execute = false}}));
  EXPECT_EQ(at(0xffff'ffff'c123'4567), (MappedAddress{Gpa{0x4123'4567}, kGiB - 0x123'4567, {}}));
  EXPECT_EQ(at(0xffff'ffff'ffff'ffff), (MappedAddress{Gpa{2 * kGiB - 1}, 1, {}}));
  EXPECT_EQ(at(0xffff'ffff'8100'2000), std::nullopt);
  EXPECT_EQ(at(0xffff'ffff'0000'0000), std::nullopt);
}

TEST_F(PagingTest, NotCanonical_NotMappedAndNothingRead) {
  entries_ = {{0x1000 + 511 * 8, kAll}, {0x1000 + 255 * 8, kAll}};
  for (const std::uint64_t address : {0x0000'8000'0000'0000ULL, 0x0000'ffff'8100'1abcULL,
                                      0xffff'7fff'ffff'ffffULL, 0x8000'0000'0000'0000ULL}) {
    EXPECT_EQ(at(address), std::nullopt) << std::hex << address;
  }
  EXPECT_EQ(reads_, 0U);
}

TEST_F(PagingTest, FiveLevels_PagesOfEachSize) {
  paging_.mode = PagingMode::level5;
  entries_ = {{0x1000 + 273 * 8, 0x2000 | kAll},
              {0x2000 + 3 * 8, 0x3000 | kAll},
              {0x3000 + 5 * 8, 2 * kGiB | kLarge | kAll},
              {0x3000 + 6 * 8, 0x4000 | kAll},
              {0x4000, 0x5000 | kAll},
              {0x5000, 0x7000 | kAll}};
  const std::uint64_t base = 0xff11'0000'0000'0000 + (3ULL << 39U);
  EXPECT_EQ(at(base + 5 * kGiB + 0x12345), (MappedAddress{Gpa{0x8001'2345}, kGiB - 0x12345, {}}));
  EXPECT_EQ(at(base + 6 * kGiB + 8), (MappedAddress{Gpa{0x7008}, 0xff8, {}}));
  EXPECT_EQ(at(0xfe00'0000'0000'0000 + base), std::nullopt);
  paging_.mode = PagingMode::level4;
  EXPECT_EQ(at(base + 6 * kGiB + 8), std::nullopt) << "has 57 bits";
}

TEST_F(PagingTest, LargeBitInAHighTable_IsReserved) {
  entries_ = {{0x1000, 0x2000 | kLarge | kAll}, {0x2000, kLarge | kAll}};
  EXPECT_EQ(at(0), std::nullopt);
}

TEST_F(PagingTest, RightsAreThoseOfAllLevels) {
  entries_ = {{0x1000, 0x2000 | kAll},
              {0x2000, 0x3000 | kAll},
              {0x3000, 0x4000 | kPresent | kUser},
              {0x4000, 0x5000 | kAll}};
  EXPECT_EQ(at(0)->rights, (PageRights{.write = false, .user = true, .execute = true}));
  entries_[0x2000] |= kNoExecute;
  EXPECT_FALSE(at(0)->rights.execute);
  paging_.no_execute = false;
  EXPECT_EQ(at(0), std::nullopt) << "the bit is reserved";
}

TEST_F(PagingTest, ReservedBits_NotMapped) {
  struct Case {
    PagingMode mode;
    std::uint64_t at;      ///< of the entry
    std::uint64_t entry;   ///< leads to the page of 0x4000'0000, by entry 1 of each table
    std::uint64_t refused; ///< its reserved bits
  };
  constexpr std::uint64_t kHigh = 0x7ff0'0000'0000'0000; // bits 52 to 62
  const Case cases[] = {
      {PagingMode::level4, 0x1000, 0x2000 | kAll, kLarge},
      {PagingMode::level4, 0x2008, 0x3000 | kAll, 0},
      {PagingMode::level4, 0x2008, kLarge | kAll, 0x3fff'e000},
      {PagingMode::level4, 0x3000, kLarge | kAll, 0x1f'e000},
      {PagingMode::level4, 0x4000, kAll, 0},
      {PagingMode::pae, 0x1008, 0x3000 | kPresent, kHigh | kNoExecute | 0x1e6},
      {PagingMode::pae, 0x3000, 0x4000 | kAll, kHigh},
      {PagingMode::pae, 0x3000, kLarge | kAll, kHigh | 0x1f'e000},
      {PagingMode::pae, 0x4000, kAll, kHigh},
  };
  const std::map<std::uint64_t, std::uint64_t> tables{{0x1000, 0x2000 | kAll},
                                                      {0x1008, 0x3000 | kPresent},
                                                      {0x2008, 0x3000 | kAll},
                                                      {0x3000, 0x4000 | kAll},
                                                      {0x4000, kAll}};
  for (const Case& one : cases) {
    paging_.mode = one.mode;
    entries_ = tables;
    entries_[one.at] = one.entry;
    EXPECT_TRUE(at(kGiB)) << std::hex << one.at;
    const bool is_page = one.at == 0x4000 || (one.entry & kLarge) != 0;
    for (unsigned number = 1; number < 64; ++number) {
      const std::uint64_t bit = 1ULL << number;
      entries_[one.at] = one.entry | bit;
      if ((one.refused & bit) != 0) {
        EXPECT_FALSE(at(kGiB)) << std::hex << one.at << " bit " << std::dec << number;
      } else if (is_page ? bit != kLarge : number < 7 || number > 51) { // the others lead elsewhere
        EXPECT_TRUE(at(kGiB)) << std::hex << one.at << " bit " << std::dec << number;
      }
    }
  }
}

TEST_F(PagingTest, Bits32_LargePageWithItsReservedBit_NotMapped) {
  paging_ = {PagingMode::bits32, Gpa{0x1000}, true, false};
  put32(0x1000, kLarge | kAll);
  EXPECT_TRUE(at(0));
  put32(0x1000, 1U << 21U);
  EXPECT_FALSE(at(0));
}

TEST_F(PagingTest, Pae_FourEntriesOnTop) {
  paging_ = {PagingMode::pae, Gpa{0x1020}, true, true};
  entries_ = {{0x1020 + 3 * 8, 0x2000 | kPresent}, // has no rights
              {0x2000 + 511 * 8, 0x3000 | kAll},
              {0x2000 + 510 * 8, 0x12'3460'0000 | kLarge | kPresent | kWritable},
              {0x3000 + 511 * 8, 0x12'3456'7000 | kAll}};
  EXPECT_EQ(at(0xffff'fffc), (MappedAddress{Gpa{0x12'3456'7ffc}, 4, {}}));
  EXPECT_EQ(
      at(0xffc0'0010),
      (MappedAddress{Gpa{0x12'3460'0010}, 2 * kMiB - 0x10, {.write = true, .user = false, .execute = true}}));
  EXPECT_EQ(at(0x7fff'ffff), std::nullopt);
  EXPECT_EQ(at(0x1'ffff'fffc), std::nullopt) << "has 33 bits";
  EXPECT_EQ(at(0xffff'ffff'ffff'fffc), std::nullopt);
}

TEST_F(PagingTest, Bits32_PagesOf4KiBAnd4MiB) {
  paging_ = {PagingMode::bits32, Gpa{0x1000}, true, false};
  put32(0x1000 + 769 * 4, 0x2000 | kAll);
  put32(0x2000 + 5 * 4, 0xffff'f000 | kPresent | kUser);
  put32(0x2000 + 4 * 4, 0x3000 | kAll);
  put32(0x1000 + 768 * 4, 0x0040'0000 | kLarge | (0xabU << 13U) | kAll); // PSE-36
  const std::uint64_t base = 0xc040'0000;
  EXPECT_EQ(at(base + 0x5010),
            (MappedAddress{Gpa{0xffff'f010}, 0xff0, {.write = false, .user = true, .execute = true}}));
  EXPECT_EQ(gpa_of(base + 0x4010), Gpa{0x3010});
  EXPECT_EQ(at(0xc012'3456), (MappedAddress{Gpa{0xab'0052'3456}, 4 * kMiB - 0x12'3456, {}}));
  EXPECT_EQ(at(base + 0x6000), std::nullopt);
  EXPECT_EQ(at(0x1'0000'0000 + base + 0x4010), std::nullopt);
  paging_.large_pages = false; // then the bit is ignored
  EXPECT_EQ(at(0xc012'3456), std::nullopt) << "its table cannot be read";
}

TEST_F(PagingTest, PagingOff_IdentityBelow4GiB) {
  paging_ = {};
  EXPECT_EQ(at(0xffff'fff0), (MappedAddress{Gpa{0xffff'fff0}, 16, {}}));
  EXPECT_EQ(at(4 * kGiB), std::nullopt);
  EXPECT_EQ(reads_, 0U);
}

TEST_F(PagingTest, TablesThatPointToThemselves_OneReadForEachLevel) {
  entries_ = {{0x1000 + 8, 0x1000 | kAll}};
  for (const auto& [mode, levels] : {std::pair{PagingMode::level4, 4U}, {PagingMode::level5, 5U}}) {
    paging_.mode = mode;
    reads_ = 0;
    const std::uint64_t self = (1ULL << 12U) | (1ULL << 21U) | (1ULL << 30U) | (1ULL << 39U) |
                               (mode == PagingMode::level5 ? 1ULL << 48U : 0);
    EXPECT_EQ(gpa_of(self), Gpa{0x1000});
    EXPECT_EQ(reads_, levels);
  }
}

// ---- control registers

RegisterSet registers(std::uint64_t cr0, std::uint64_t cr3, std::uint64_t cr4,
                      std::optional<std::uint64_t> efer) {
  RegisterSet set{register_layout()};
  set.set(Register::cr0, cr0);
  set.set(Register::cr3, cr3);
  set.set(Register::cr4, cr4);
  if (efer) {
    set.set(Register::efer, *efer);
  }
  return set;
}

TEST(PagingOf, ControlRegisters_DecideTheMode) {
  constexpr std::uint64_t kOn = 0x8005'0033;
  EXPECT_EQ(paging_of(registers(0x6000'0010, 0x1000, 0x30, 0x500)), Paging{}) << "paging is off";
  EXPECT_EQ(paging_of(registers(kOn, 0x1018, 0x10, 0)),
            (Paging{PagingMode::bits32, Gpa{0x1000}, true, false}));
  EXPECT_EQ(paging_of(registers(kOn, 0x1018, 0, 0)), (Paging{PagingMode::bits32, Gpa{0x1000}, false, false}));
  EXPECT_EQ(paging_of(registers(kOn, 0x1038, 0x20, 0x800)),
            (Paging{PagingMode::pae, Gpa{0x1020}, true, true}));
  EXPECT_EQ(paging_of(registers(kOn, 0x8000'0000'0000'1fff, 0x3506f0, 0xd01)),
            (Paging{PagingMode::level4, Gpa{0x1000}, true, true}));
  EXPECT_EQ(paging_of(registers(kOn, 0x1000, 0x35'16f0, 0x501)),
            (Paging{PagingMode::level5, Gpa{0x1000}, true, false}));
}

TEST(PagingOf, NoEfer_DescriptorTablesDecide) {
  RegisterSet set = registers(0x8005'0033, 0x1000, 0x20, std::nullopt);
  EXPECT_EQ(paging_of(set), std::nullopt) << "such as of a Xen PV domain";
  set.set(Register::gdt_base, 0x1000);
  set.set(Register::idt_base, 0xc000'0000);
  EXPECT_EQ(paging_of(set)->mode, PagingMode::pae);
  set.set(Register::idt_base, 0xffff'fe00'0000'0000);
  EXPECT_EQ(paging_of(set)->mode, PagingMode::level4);
}

/// UEFI firmware maps memory one to one: all its addresses may lie below 4 GiB.
TEST(PagingOf, NoEfer_LowTables_WhatOnlyLongModeHasDecides) {
  RegisterSet low = registers(0x8005'0033, 0x1000, 0x20, std::nullopt);
  low.set(Register::gdt_base, 0x7f5d'c000);
  low.set(Register::idt_base, 0x7f2a'1018);
  low.set(Register::rip, 0x7eac'1234);
  low.set(Register::rsp, 0x7ff0'0f00);
  low.set(Register::r15, 0xffff'ffff);
  low.set(Register::cs_attributes, 0xc09b); // 32-bit code
  EXPECT_EQ(paging_of(low)->mode, PagingMode::pae);
  const std::pair<Register, std::uint64_t> signs[] = {
      {Register::cs_attributes, 0xa09a}, {Register::cr4, 0x2'0020},           {Register::rip, 0x1'0000'0000},
      {Register::rsp, 0x1'0000'0000},    {Register::r8, 0x1'0000'0000},       {Register::r15, 0x1'0000'0000},
      {Register::gdt_base, ~0xfffULL},   {Register::idt_base, 0x1'0000'0000},
  };
  for (const auto& [reg, value] : signs) {
    RegisterSet set = low;
    set.set(reg, value);
    EXPECT_EQ(paging_of(set)->mode, PagingMode::level4) << to_string(reg);
    set.set(Register::cr4, 0);
    EXPECT_EQ(paging_of(set)->mode, PagingMode::bits32) << to_string(reg);
    set.set(Register::efer, 0);
    set.set(Register::cr4, 0x20);
    EXPECT_EQ(paging_of(set)->mode, PagingMode::pae) << to_string(reg) << ": EFER says so";
  }
}

/// As crash dumps of 64-bit Windows have them.
TEST(PagingOf, RootAlone_FourLevels) {
  RegisterSet set{register_layout()};
  set.set(Register::cr3, 0x8000'0000'001a'd002);
  EXPECT_TRUE(can_have_paging(set));
  EXPECT_EQ(paging_of(set), (Paging{PagingMode::level4, Gpa{0x1a'd000}, true, true}));
  set.set(Register::cr4, 0x20);
  EXPECT_FALSE(can_have_paging(set)) << "CR0 is missing, but not all that says how paging is set up";
  EXPECT_EQ(paging_of(set), std::nullopt);
}

TEST(PagingOf, RegistersMissingOrOfAnotherArchitecture_None) {
  EXPECT_EQ(paging_of(RegisterSet{register_layout()}), std::nullopt);
  EXPECT_EQ(paging_of(RegisterSet{aarch64::register_layout()}), std::nullopt);
}

} // namespace
} // namespace vmemfs::x86_64
