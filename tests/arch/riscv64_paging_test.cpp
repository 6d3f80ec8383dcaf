// SPDX-License-Identifier: MIT
#include "arch/riscv64/paging.h"
#include "arch/riscv64/registers.h"
#include "arch/x86_64/registers.h"

#include <chrono>
#include <cstring>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace vmemfs::riscv64 {
namespace {

// Entries as the privileged specification writes them: V R W X U G A D.
constexpr std::uint64_t kTable = 0x01;
constexpr std::uint64_t kReadOnly = 0x43;
constexpr std::uint64_t kKernelCode = 0x4b;
constexpr std::uint64_t kKernelData = 0xc7;
constexpr std::uint64_t kUserData = 0xd7;
constexpr std::uint64_t kContiguous = 1ULL << 63U;

constexpr std::uint64_t bit(unsigned number) { return std::uint64_t{1} << number; }
constexpr std::uint64_t entry(std::uint64_t gpa, std::uint64_t flags) { return gpa >> 12U << 10U | flags; }

/// Entries by address; all others are 0. Addresses from 16 MiB on cannot be read.
class Riscv64Paging : public testing::Test {
protected:
  std::map<std::uint64_t, std::uint64_t> entries_;
  unsigned reads_ = 0;
  Paging paging_{PagingMode::sv39, Gpa{0x1000}};

  std::optional<std::uint64_t> at(Gpa gpa) {
    ++reads_;
    if (gpa >= Gpa{0x100'0000}) {
      return std::nullopt;
    }
    const auto found = entries_.find(gpa.value());
    return found != entries_.end() ? found->second : 0;
  }
  std::optional<MappedAddress> walk(std::uint64_t address) {
    return translate(paging_, address, [this](Gpa gpa) { return at(gpa); });
  }
  std::optional<Gpa> gpa(std::uint64_t address) {
    const auto mapped = walk(address);
    return mapped ? std::optional{mapped->gpa} : std::nullopt;
  }
  std::vector<MappedRange> list() {
    return list_mapped(paging_,
                       [this](Gpa table, std::span<std::byte> bytes) {
                         for (std::size_t offset = 0; offset < bytes.size();
                              offset += sizeof(std::uint64_t)) {
                           const std::uint64_t number = at(table + offset).value_or(0);
                           std::memcpy(bytes.data() + offset, &number, sizeof number);
                         }
                         return TableRead::done;
                       },
                       {.time = std::chrono::hours{1}});
  }
};

TEST_F(Riscv64Paging, Sv39_PagesOfEachSize) {
  entries_ = {{0x1000 + 511 * 8, entry(0x2000, kTable)},
              {0x1000 + 2 * 8, entry(0x8000'0000, kKernelData)},
              {0x2000 + 1 * 8, entry(0x3000, kTable)},
              {0x2000 + 2 * 8, entry(0x8020'0000, kKernelCode)},
              {0x3000 + 3 * 8, entry(0xff'ffff'ffff'f000, kReadOnly)}};
  EXPECT_EQ(walk(0x8123'4567),
            (MappedAddress{Gpa{0x8123'4567}, 0x4000'0000 - 0x123'4567, {.user = false, .execute = false}}));
  EXPECT_EQ(walk(0xffff'ffff'c040'0010),
            (MappedAddress{Gpa{0x8020'0010}, 0x20'0000 - 0x10, {.write = false, .user = false}}));
  EXPECT_EQ(
      walk(0xffff'ffff'c020'3abc),
      (MappedAddress{Gpa{0xff'ffff'ffff'fabc}, 0x544, {.write = false, .user = false, .execute = false}}))
      << "a physical address has 56 bits";
  EXPECT_EQ(gpa(0xffff'ffff'c020'4000), std::nullopt);
  EXPECT_EQ(gpa(0x7f'c040'0010), std::nullopt) << "not canonical";
  reads_ = 0;
  EXPECT_TRUE(walk(0xffff'ffff'c020'3000));
  EXPECT_EQ(reads_, 3U);
}

TEST_F(Riscv64Paging, Sv48AndSv57_HaveMoreLevels) {
  entries_ = {{0x1000 + 8, entry(0x2000, kTable)},
              {0x2000 + 16, entry(0x3000, kTable)},
              {0x3000 + 24, entry(0x4000, kTable)},
              {0x4000 + 32, entry(0x5000, kTable)},
              {0x5000 + 40, entry(0x8765'4000, kUserData)}};
  paging_.mode = PagingMode::sv57;
  const std::uint64_t address = 1ULL << 48U | 2ULL << 39U | 3ULL << 30U | 4ULL << 21U | 5ULL << 12U;
  EXPECT_EQ(walk(address | 0x123), (MappedAddress{Gpa{0x8765'4123}, 0xedd, {.execute = false}}));
  paging_ = {PagingMode::sv48, Gpa{0x2000}};
  EXPECT_EQ(gpa((address & ~(1ULL << 48U)) | 0x123), Gpa{0x8765'4123});
  EXPECT_EQ(gpa(address | 0x123), std::nullopt) << "not canonical with 48 bits";
  entries_ = {{0x2000 + 511 * 8, entry(0x80'0000'0000, kKernelData)}};
  EXPECT_EQ(walk(0xffff'ffff'ffff'fff0)->gpa, Gpa{0xff'ffff'fff0}) << "a page of 512 GiB";
}

TEST_F(Riscv64Paging, ReservedEntries_AreNotMapped) {
  const std::uint64_t address = 0x1234;
  entries_ = {{0x1000, entry(0x2000, kTable)}, {0x2000, entry(0x3000, kTable)}};
  auto& last = entries_[0x3000 + 8];
  for (const std::uint64_t bad :
       {std::uint64_t{0}, kTable, std::uint64_t{0x05}, std::uint64_t{0x0d}, kUserData | bit(54),
        kUserData | bit(60), kUserData | bit(61) | bit(62), kUserData | kContiguous, kUserData & ~kTable}) {
    last = entry(0x9000, bad);
    EXPECT_EQ(gpa(address), std::nullopt) << std::hex << bad;
  }
  for (const std::uint64_t good : {kUserData, kUserData | bit(61), kUserData | bit(62),
                                   kUserData | 0x300 /* for software */, std::uint64_t{0x09}}) {
    last = entry(0x9000, good);
    EXPECT_EQ(gpa(address), Gpa{0x9234}) << std::hex << good;
  }
  for (const std::uint64_t flag :
       {std::uint64_t{0x10}, std::uint64_t{0x40}, std::uint64_t{0x80}, bit(61), kContiguous}) {
    entries_[0x2000] = entry(0x3000, kTable | flag);
    EXPECT_EQ(gpa(address), std::nullopt) << "of a table " << std::hex << flag;
  }
  entries_[0x2000] = entry(0x1000, kUserData);
  EXPECT_EQ(gpa(address), std::nullopt) << "a large page that is not aligned";
  entries_[0x2000] = entry(0x100'0000, kTable);
  EXPECT_EQ(gpa(address), std::nullopt) << "a table that cannot be read";
}

TEST_F(Riscv64Paging, Svnapot_EntriesOf64KiBShareAFrame) {
  entries_ = {{0x1000, entry(0x2000, kTable)}, {0x2000, entry(0x3000, kTable)}};
  for (std::uint64_t i = 0; i < 16; ++i) {
    entries_[0x3000 + (16 + i) * 8] = entry(0x8881'8000, kUserData | kContiguous);
  }
  EXPECT_EQ(gpa(0x1'0000), Gpa{0x8881'0000});
  EXPECT_EQ(gpa(0x1'f123), Gpa{0x8881'f123});
  const auto ranges = list();
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges[0], (MappedRange{0x1'0000, 0x1'ffff, true, {.execute = false}, Gpa{0x8881'0000}}));
}

TEST_F(Riscv64Paging, List_HasRangesWithEqualRights) {
  entries_ = {{0x1000, entry(0x2000, kTable)},
              {0x1000 + 511 * 8, entry(0x8000'0000, kKernelData)},
              {0x2000, entry(0x3000, kTable)},
              {0x2000 + 8, entry(0x8020'0000, kUserData)},
              {0x3000 + 8, entry(0x8100'0000, kUserData)},
              {0x3000 + 16, entry(0x8100'1000, 0x59)}, // execute only
              {0x3000 + 511 * 8, entry(0x801f'f000, kUserData)}};
  const auto ranges = list();
  EXPECT_EQ(ranges,
            (std::vector<MappedRange>{
                {0x1000, 0x1fff, true, {.execute = false}, Gpa{0x8100'0000}},
                {0x2000, 0x2fff, true, {.write = false, .read = false}, Gpa{0x8100'1000}},
                {0x1f'f000, 0x3f'ffff, true, {.execute = false}, Gpa{0x801f'f000}},
                {0xffff'ffff'c000'0000, ~0ULL, true, {.user = false, .execute = false}, Gpa{0x8000'0000}}}));
}

TEST_F(Riscv64Paging, Off_AddressesArePhysical) {
  paging_ = {};
  EXPECT_EQ(walk(0x8000'0123), (MappedAddress{Gpa{0x8000'0123}, (1ULL << 56U) - 0x8000'0123, {}}));
  EXPECT_EQ(walk(1ULL << 56U), std::nullopt);
  EXPECT_EQ(list(), (std::vector<MappedRange>{{0, (1ULL << 56U) - 1, true, {}, Gpa{0}}}));
  EXPECT_EQ(reads_, 0U);
}

std::optional<Paging> paging_with(std::uint64_t satp, std::optional<std::uint64_t> privilege) {
  RegisterSet registers{register_layout()};
  registers.set(Register::satp, satp);
  if (privilege) {
    registers.set(Register::priv, *privilege);
  }
  return paging_of(registers);
}

TEST(Riscv64PagingOf, SatpAndThePrivilegeModeDecide) {
  constexpr std::uint64_t kAsid = 0xabcdULL << 44U;
  const Gpa root{0x8123'4000};
  EXPECT_EQ(paging_with(8ULL << 60U | kAsid | 0x81234, 1), (Paging{PagingMode::sv39, root}));
  EXPECT_EQ(paging_with(9ULL << 60U | kAsid | 0x81234, 0), (Paging{PagingMode::sv48, root}));
  EXPECT_EQ(paging_with(10ULL << 60U | 0x81234, std::nullopt), (Paging{PagingMode::sv57, root}));
  EXPECT_EQ(paging_with(9ULL << 60U | 0x81234, 3), Paging{}) << "machine mode";
  EXPECT_EQ(paging_with(0x81234, 1), Paging{}) << "bare";
  EXPECT_EQ(paging_with(11ULL << 60U | 0x81234, 1), std::nullopt) << "Sv64 is not defined";
  EXPECT_EQ(paging_with(9ULL << 60U | 0x81234, 5), std::nullopt) << "a guest of the hypervisor extension";
}

TEST(Riscv64PagingOf, WithoutSatp_IsUnknown) {
  RegisterSet registers{register_layout()};
  registers.set(Register::priv, 1);
  EXPECT_FALSE(can_have_paging(registers));
  EXPECT_EQ(paging_of(registers), std::nullopt);
  registers.set(Register::satp, 0);
  EXPECT_TRUE(can_have_paging(registers));
  RegisterSet other{x86_64::register_layout()};
  other.set(x86_64::Register::cr3, 0);
  EXPECT_FALSE(can_have_paging(other));
}

} // namespace
} // namespace vmemfs::riscv64
