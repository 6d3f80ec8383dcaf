// SPDX-License-Identifier: MIT
#include "util/users/owner_shares.h"

#include <gtest/gtest.h>
#include <optional>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

constexpr uid_t kOne = 45001;
constexpr uid_t kTwo = 45002;

std::vector<OwnerShares::Share> take_all(OwnerShares& shares, uid_t owner) {
  std::vector<OwnerShares::Share> taken;
  while (auto share = shares.take(owner)) {
    taken.push_back(std::move(*share));
  }
  return taken;
}

TEST(OwnerShares, OneUser_LeavesTheOthersTheirs) {
  OwnerShares shares{{.one_other = 3, .all_others = 5, .all = 9}};
  const auto one = take_all(shares, kOne);
  EXPECT_EQ(one.size(), 3U);
  const auto two = take_all(shares, kTwo);
  EXPECT_EQ(two.size(), 2U);
  EXPECT_EQ(take_all(shares, 0).size(), 4U);
  EXPECT_EQ(take_all(shares, ::geteuid()).size(), 4U);
}

TEST(OwnerShares, GivenBack_CanBeTakenAgain) {
  OwnerShares shares{{.one_other = 1, .all_others = 1, .all = 1}};
  auto first = shares.take(kOne);
  ASSERT_TRUE(first);
  EXPECT_FALSE(shares.take(kTwo));
  std::optional<OwnerShares::Share> moved{std::move(*first)};
  first.reset();
  EXPECT_FALSE(shares.take(kTwo));
  moved.reset();
  EXPECT_TRUE(shares.take(kTwo));
}

} // namespace
} // namespace vmemfs
