// SPDX-License-Identifier: MIT
#include "arch/x86_64/mapped_ranges.h"
#include "page_entries.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace vmemfs::x86_64 {
namespace {

using testing::ElementsAre;

/// Tests do not depend on how fast they run.
constexpr std::chrono::hours kNoTimeLimit{1};
constexpr ListLimits kLimits{.time = kNoTimeLimit};

class MappedRanges : public testing::Test {
protected:
  /// Entries of 8 bytes by address; all others are 0. Addresses from 1 MiB on cannot be read.
  std::map<std::uint64_t, std::uint64_t> entries_;
  unsigned reads_ = 0;
  Paging paging_{PagingMode::level4, Gpa{0x1000}, true, true};

  std::optional<std::uint64_t> failing_; ///< a table that the source does not give

  std::vector<MappedRange> list(const ListLimits& limits = kLimits) {
    return list_mapped(
        paging_,
        [this](Gpa table, std::span<std::byte> bytes) {
          ++reads_;
          if (table.value() == failing_) {
            return TableRead::failed;
          }
          if (table >= Gpa{kMiB}) {
            return TableRead::absent;
          }
          std::ranges::fill(bytes, std::byte{0});
          const auto end = entries_.lower_bound(table.value() + bytes.size());
          for (auto it = entries_.lower_bound(table.value()); it != end; ++it) {
            std::memcpy(bytes.data() + (it->first - table.value()), &it->second, sizeof it->second);
          }
          return TableRead::done;
        },
        limits);
  }
  static MappedRange range(std::uint64_t begin, std::uint64_t size, PageRights rights,
                           std::optional<Gpa> gpa) {
    return {begin, begin + size - 1, true, rights, gpa};
  }
};

TEST_F(MappedRanges, FourLevels_AdjacentPagesWithEqualRightsAreOne) {
  entries_ = {{0x1000, 0x2000 | kAll},
              {0x1000 + 511 * 8, 0x2000 | kAll},
              {0x2000, 0x3000 | kAll},
              {0x2000 + 511 * 8, 0x4000'0000 | kLarge | kPresent},
              {0x3000, 0x4000 | kAll},
              {0x3000 + 8, (2 * kMiB) | kLarge | kPresent | kUser},
              {0x4000 + 8, 0x10'0000 | kAll},
              {0x4000 + 16, 0x10'1000 | kAll},
              {0x4000 + 24, 0x10'0000 | kAll},
              {0x4000 + 32, 0x10'1000 | kNoExecute | kAll},
              {0x4000 + 511 * 8, 0x1f'f000 | kPresent | kUser}};
  const PageRights all{};
  const PageRights no_write{.write = false, .user = true, .execute = true};
  const std::vector<MappedRange> low{
      range(0x1000, 0x3000, all, std::nullopt),
      range(0x4000, 0x1000, {.write = true, .user = true, .execute = false}, Gpa{0x10'1000}),
      range(0x1f'f000, 0x20'1000, no_write, Gpa{0x1f'f000}),
      range(511ULL << 30U, 1U << 30U, {.write = false, .user = false, .execute = true}, Gpa{0x4000'0000})};
  std::vector<MappedRange> expected = low;
  for (MappedRange range : low) {
    range.begin += 0xffff'ff80'0000'0000;
    range.last += 0xffff'ff80'0000'0000;
    expected.push_back(range);
  }
  EXPECT_EQ(list(), expected);
  EXPECT_EQ(expected.back().last, ~0ULL);
}

TEST_F(MappedRanges, OtherModes) {
  entries_ = {{0x1000, 0x2000 | kPresent}, {0x1018, 0x2000 | kPresent}, {0x2000 + 8, kLarge | kAll}};
  paging_.mode = PagingMode::pae;
  EXPECT_THAT(list(), ElementsAre(range(2 * kMiB, 2 * kMiB, {}, Gpa{0}),
                                  range((3ULL << 30U) + 2 * kMiB, 2 * kMiB, {}, Gpa{0})));
  entries_ = {{0x1000, (kLarge | kAll) << 32U},
              {0x1ff8, (0x3000'0000'0000ULL | (kPresent << 32U))},
              {0x3ff8, 0x7005'0000'0000ULL}};
  paging_.mode = PagingMode::bits32;
  EXPECT_THAT(list(), ElementsAre(range(4 * kMiB, 4 * kMiB, {}, Gpa{0}),
                                  range(0xffff'f000, 0x1000, {.write = false, .user = false, .execute = true},
                                        Gpa{0x7000})));
  paging_ = {};
  EXPECT_THAT(list(), ElementsAre(range(0, 1ULL << 32U, {}, Gpa{0})));
  paging_ = {PagingMode::level5, Gpa{0x1000}, true, true};
  entries_ = {{0x1000 + 511 * 8, 0x2000 | kAll}, {0x2000 + 8, 0x3000 | kAll}, {0x3000, kLarge | kAll}};
  EXPECT_THAT(list(), ElementsAre(range(0xffff'0080'0000'0000, 1U << 30U, {}, Gpa{0})));
}

TEST_F(MappedRanges, TablesThatCannotBeRead_NotMapped) {
  entries_ = {{0x1000, kMiB | kAll}, {0x1008, 0x2000 | kAll}, {0x2000, kLarge | kAll}};
  EXPECT_THAT(list(), ElementsAre(range(1ULL << 39U, 1U << 30U, {}, Gpa{0})));
}

TEST_F(MappedRanges, TableThatTheSourceDoesNotGive_NotSearchedAndOthersAreListed) {
  entries_ = {{0x1000, 0x2000 | kAll}, {0x1008, 0x3000 | kAll}, {0x2000, 0x4000 | kAll},
              {0x2008, 0x4000 | kAll}, {0x2018, kLarge | kAll}, {0x3000, kLarge | kAll}};
  failing_ = 0x4000;
  EXPECT_THAT(list(),
              ElementsAre(MappedRange{0, (2ULL << 30U) - 1, false}, range(3ULL << 30U, 1U << 30U, {}, Gpa{0}),
                          range(1ULL << 39U, 1U << 30U, {}, Gpa{0})));
  failing_ = 0x1000;
  EXPECT_TRUE(list().empty());
}

/// What a process maps does not hide what its kernel maps.
TEST_F(MappedRanges, TooMuchInTheLowerHalf_UpperHalfIsListed) {
  for (std::uint64_t i = 0; i < 512; ++i) {
    entries_[0x2000 + i * 8] = i % 2 == 0 ? kLarge | kAll : 0;
  }
  for (std::uint64_t i = 0; i < 256; ++i) {
    entries_[0x1000 + i * 8] = 0x2000 | kAll;
  }
  entries_[0x1000 + 300 * 8] = 0x3000 | kAll;
  entries_[0x3000] = kLarge | kAll;
  const MappedRange kernel = range(0xffff'0000'0000'0000 + (300ULL << 39U), 1U << 30U, {}, Gpa{0});
  for (const ListLimits& limits :
       {ListLimits{.ranges = 1000, .time = kNoTimeLimit}, ListLimits{.tables = 8, .time = kNoTimeLimit}}) {
    const auto ranges = list(limits);
    ASSERT_GE(ranges.size(), 2U);
    EXPECT_EQ(ranges.back(), kernel);
    EXPECT_FALSE(ranges[ranges.size() - 2].mapped);
  }
}

TEST_F(MappedRanges, TooMuchInOneArea_OthersAreListed) {
  // Every second page of the second area, and one page of the last.
  entries_ = {{0x1008, 0x2000 | kAll}, {0x1ff8, 0x3000 | kAll}, {0x3ff8, kLarge | kAll}};
  for (std::uint64_t i = 0; i < 512; ++i) {
    entries_[0x2000 + i * 8] = 0x4000 | kAll;
    entries_[0x4000 + i * 8] = 0x5000 | kAll;
    entries_[0x5000 + i * 8] = i % 2 == 0 ? 0x6000 | kAll : 0;
  }
  const auto ranges = list();
  ASSERT_EQ(ranges.size(), kLimits.area_ranges + 2);
  EXPECT_EQ(ranges.front(), range(1ULL << 39U, 0x1000, {}, Gpa{0x6000}));
  const MappedRange& cut = ranges[ranges.size() - 2];
  EXPECT_FALSE(cut.mapped);
  EXPECT_EQ(cut.last, (2ULL << 39U) - 1);
  EXPECT_EQ(ranges.back(), range(0ULL - (1U << 30U), 1U << 30U, {}, Gpa{0}));
  EXPECT_LT(reads_, 100U);
}

TEST_F(MappedRanges, TablesThatPointToThemselves_Bounded) {
  for (std::uint64_t i = 0; i < 512; ++i) {
    entries_[0x1000 + i * 8] = 0x1000 | kAll | (i % 2 == 0 ? kNoExecute : 0);
  }
  for (const PagingMode mode : {PagingMode::level4, PagingMode::level5}) {
    paging_.mode = mode;
    reads_ = 0;
    const auto ranges = list();
    EXPECT_LE(reads_, kLimits.tables);
    EXPECT_LE(ranges.size(), kLimits.ranges + 4096);
    EXPECT_FALSE(ranges.back().mapped);
    EXPECT_EQ(ranges.back().last, ~0ULL);
    reads_ = 0;
    static_cast<void>(list({.time = std::chrono::milliseconds{0}}));
    EXPECT_EQ(reads_, 1U);
  }
}

} // namespace
} // namespace vmemfs::x86_64
