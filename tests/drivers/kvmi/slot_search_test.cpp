// SPDX-License-Identifier: MIT
#include "drivers/kvmi/memory/slot_search.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace vmemfs::kvmi {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

GpaRange range(std::uint64_t begin, std::uint64_t end) { return {Gpa{begin}, Gpa{end}}; }

/// A VM with these slots, all of which can be read unless `unreadable`.
struct Vm {
  std::vector<GpaRange> slots;
  std::vector<GpaRange> unreadable{};
  std::size_t rounds = 0;
  std::size_t asked = 0;

  Result<std::vector<GpaRange>> find(std::uint64_t end) {
    return find_slots(
        end,
        [&](std::span<const Gpa> pages, std::span<GpaRange> found) {
          ++rounds;
          asked += pages.size();
          EXPECT_LE(pages.size(), 512U);
          for (std::size_t i = 0; i < pages.size(); ++i) {
            EXPECT_LT(pages[i], Gpa{end});
            const auto slot = std::ranges::find_if(slots, [&](auto one) { return one.contains(pages[i]); });
            found[i] = slot == slots.end() ? GpaRange{} : *slot;
          }
          return Result<void>{};
        },
        [&](std::span<const Gpa> pages, std::span<std::uint8_t> present) {
          for (std::size_t i = 0; i < pages.size(); ++i) {
            const auto holds = [&](const GpaRange& one) { return one.contains(pages[i]); };
            present[i] = std::ranges::any_of(slots, holds) && std::ranges::none_of(unreadable, holds) ? 1 : 0;
          }
          return Result<void>{};
        });
  }
};

TEST(SlotSearch, SlotsOfAPc_AreFoundToThePage_InAFewRounds) {
  Vm vm{{range(0, 0xa0000), range(0xc0000, 0xe3000), range(0xe3000, 0x100000), range(0x100000, 0xbfff3000),
         range(0xfd000000, 0xfe000000), range(0xfffc0000, 4 * kGiB), range(4 * kGiB, 60 * kGiB)}};
  const auto found = vm.find(60 * kGiB);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(*found, (std::vector<GpaRange>{range(0, 0xa0000), range(0xc0000, 0xbfff3000),
                                           range(0xfd000000, 0xfe000000), range(0xfffc0000, 60 * kGiB)}));
  EXPECT_LE(vm.rounds, 8U);
}

/// What trying pages does not see: a hole and a slot within a step of 2 MiB.
TEST(SlotSearch, HoleAndSlotWithinAStep_AreSeenBesideAnotherSlot) {
  Vm vm{{range(0, 8 * kMiB + 0x5000), range(8 * kMiB + 0x5000, 8 * kMiB + 0x7000),
         range(8 * kMiB + 0x8000, 16 * kMiB)}};
  EXPECT_EQ(vm.find(16 * kMiB).value(),
            (std::vector<GpaRange>{range(0, 8 * kMiB + 0x7000), range(8 * kMiB + 0x8000, 16 * kMiB)}));
}

TEST(SlotSearch, LargestVm_AndEmptyOne_TakeBoundedRounds) {
  Vm large{{range(0, std::uint64_t{1} << 45U)}};
  EXPECT_EQ(large.find(std::uint64_t{1} << 45U).value().size(), 1U);
  EXPECT_LE(large.rounds, 2U);
  Vm empty{{}};
  EXPECT_TRUE(empty.find(std::uint64_t{1} << 45U).value().empty());
  EXPECT_LE(empty.rounds, 140U);
}

TEST(SlotSearch, SlotBeyondTheEnd_IsCut_AndOneThatCannotBeReadIsLeftOut) {
  Vm vm{{range(0, 4 * kMiB), range(6 * kMiB, 8 * kMiB), range(10 * kMiB, 64 * kMiB)},
        {range(6 * kMiB, 8 * kMiB)}};
  EXPECT_EQ(vm.find(12 * kMiB).value(),
            (std::vector<GpaRange>{range(0, 4 * kMiB), range(10 * kMiB, 12 * kMiB)}));
}

TEST(SlotSearch, AnswersThatContradict_AreRefused) {
  const auto refused = [](const AskSlots& ask) {
    const auto found = find_slots(64 * kMiB, ask, [](auto /*pages*/, std::span<std::uint8_t> present) {
      std::ranges::fill(present, std::uint8_t{1});
      return Result<void>{};
    });
    return !found && found.error().kind == ErrorKind::source_failed;
  };
  // A slot without the page that was asked for.
  EXPECT_TRUE(refused([](std::span<const Gpa> pages, std::span<GpaRange> slots) {
    for (std::size_t i = 0; i < pages.size(); ++i) {
      slots[i] = {pages[i] + kPageSize, pages[i] + 2 * kPageSize};
    }
    return Result<void>{};
  }));
  // Slots that overlap.
  EXPECT_TRUE(refused([](std::span<const Gpa> pages, std::span<GpaRange> slots) {
    for (std::size_t i = 0; i < pages.size(); ++i) {
      slots[i] = {pages[i], Gpa{64 * kMiB}};
    }
    return Result<void>{};
  }));
  // Every page is a slot of its own, in a VM of 2^45 bytes.
  EXPECT_FALSE(find_slots(
      std::uint64_t{1} << 45U,
      [](std::span<const Gpa> pages, std::span<GpaRange> slots) {
        for (std::size_t i = 0; i < pages.size(); ++i) {
          slots[i] = {pages[i], pages[i] + kPageSize};
        }
        return Result<void>{};
      },
      [](auto /*pages*/, auto /*present*/) { return Result<void>{}; }));
  // Bytes instead of pages: the last page cannot be read.
  Vm bytes{{range(0, 32 * kMiB)}, {range(16 * kMiB, 32 * kMiB)}};
  EXPECT_FALSE(bytes.find(64 * kMiB));
}

} // namespace
} // namespace vmemfs::kvmi
