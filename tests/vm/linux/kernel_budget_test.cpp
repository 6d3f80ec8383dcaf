// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_budget.h"

#include <cstddef>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

struct Keeper final : KernelBudget::User {
  explicit Keeper(std::size_t bytes) : kept{bytes} {}
  [[nodiscard]] std::size_t kept_bytes() const override { return kept; }
  void drop_kept() override { kept = 0; }

  std::size_t kept;
};

TEST(KernelBudget, BeyondTheLimit_TheLeastRecentlyUsedAreDropped) {
  KernelBudget budget{100};
  Keeper first{40};
  Keeper second{40};
  Keeper third{40};
  for (Keeper* const user : {&first, &second, &third}) {
    budget.add(*user);
  }
  budget.note_use(first);
  EXPECT_EQ(second.kept, 0U);
  EXPECT_EQ(first.kept, 40U);
  EXPECT_EQ(third.kept, 40U);
  EXPECT_EQ(budget.kept_bytes(), 80U);
  budget.remove(third);
  EXPECT_EQ(budget.kept_bytes(), 40U);
}

TEST(KernelBudget, UserBeyondTheLimitAlone_KeepsItsOwn) {
  KernelBudget budget{100};
  Keeper small{40};
  Keeper large{120};
  budget.add(large);
  budget.add(small);
  budget.note_use(large);
  EXPECT_EQ(small.kept, 0U);
  EXPECT_EQ(large.kept, 120U) << "files that are opened again share it";
}

} // namespace
} // namespace vmemfs
