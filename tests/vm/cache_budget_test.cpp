// SPDX-License-Identifier: MIT
#include "vm/cache/cache_budget.h"

#include <algorithm>
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <list>
#include <thread>
#include <utility>

namespace vmemfs {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kTotal = 12 * kMiB;

struct Member {
  explicit Member(CacheBudget& budget, bool active = true) : share{budget, cache} {
    share.set_active(active);
  }

  [[nodiscard]] std::uint64_t limit() const {
    EXPECT_EQ(cache.stats().limit_bytes, share.limit());
    return share.limit();
  }

  PageCache cache{0};
  CacheBudget::Share share;
};

TEST(CacheBudget, ActiveVms_HaveEvenShares) {
  CacheBudget budget{kTotal};
  Member first{budget, false};
  EXPECT_EQ(first.limit(), 0);
  first.share.set_active(true);
  EXPECT_EQ(first.limit(), kTotal);
  {
    const Member second{budget};
    EXPECT_EQ(first.limit(), kTotal / 2);
    const Member third{budget};
    const Member idle{budget, false};
    EXPECT_EQ(first.limit(), kTotal / 3);
    EXPECT_EQ(second.limit(), kTotal / 3);
    EXPECT_EQ(third.limit(), kTotal / 3);
    EXPECT_EQ(idle.limit(), 0);
    first.share.set_active(false);
    EXPECT_EQ(first.limit(), 0);
    EXPECT_EQ(second.limit(), kTotal / 2);
    first.share.set_active(true);
  }
  EXPECT_EQ(first.limit(), kTotal);
}

TEST(CacheBudget, Shares_AreWholePages) {
  CacheBudget budget{8 * kPageSize};
  const Member a{budget};
  const Member b{budget};
  const Member c{budget};
  EXPECT_EQ(a.limit(), 2 * kPageSize);
  EXPECT_EQ(b.limit(), 2 * kPageSize);
  EXPECT_EQ(c.limit(), 2 * kPageSize);
}

TEST(CacheBudget, Shares_RoundedDown_TakeMostOfTheTotal) {
  CacheBudget budget{kTotal};
  std::list<Member> members;
  for (std::uint64_t count = 1; count <= 100; ++count) {
    members.emplace_back(budget);
    EXPECT_LE(members.front().limit() * count, kTotal);
    EXPECT_GT(members.front().limit(), kTotal / count * 63 / 64 - kPageSize) << count;
    EXPECT_EQ(members.back().limit(), members.front().limit());
  }
}

// Each change of the even share changes those of all VMs: one for each VM would be quadratic.
TEST(CacheBudget, ManyVms_ComeAndGo_SharesOfTheOthersSeldomChange) {
  constexpr std::uint64_t kVms = 10000;
  CacheBudget budget{std::uint64_t{64} << 30U};
  Member first{budget};
  std::list<Member> members;
  std::uint64_t last = first.limit();
  std::uint64_t changed_shares = 0;
  const auto note_change = [&] {
    changed_shares += std::exchange(last, first.limit()) != first.limit() ? members.size() : 0;
  };
  for (std::uint64_t i = 0; i < kVms; ++i) {
    members.emplace_back(budget);
    note_change();
  }
  EXPECT_LT(changed_shares, kVms * 128);
  changed_shares = 0;
  while (!members.empty()) {
    members.pop_back();
    note_change();
  }
  EXPECT_LT(changed_shares, kVms * 128);
}

TEST(CacheBudget, FixedSize_ActiveVm_ComesFirst) {
  CacheBudget budget{kTotal};
  Member fixed{budget};
  const Member even{budget};
  ASSERT_TRUE(fixed.share.set_fixed_size(8 * kMiB).has_value());
  EXPECT_EQ(fixed.limit(), 8 * kMiB);
  EXPECT_EQ(even.limit(), 4 * kMiB);
  fixed.share.set_active(false);
  EXPECT_EQ(fixed.limit(), 0);
  EXPECT_EQ(even.limit(), kTotal);
  fixed.share.set_active(true);
  EXPECT_EQ(fixed.limit(), 8 * kMiB);
  ASSERT_TRUE(fixed.share.set_fixed_size(kTotal).has_value());
  EXPECT_EQ(even.limit(), 0);
  ASSERT_TRUE(fixed.share.set_fixed_size(0).has_value());
  EXPECT_EQ(fixed.limit(), 0);
  EXPECT_EQ(even.limit(), kTotal);
  ASSERT_TRUE(fixed.share.set_fixed_size(std::nullopt).has_value());
  EXPECT_EQ(fixed.limit(), kTotal / 2);
  EXPECT_EQ(even.limit(), kTotal / 2);
}

TEST(CacheBudget, FixedSizes_AboveTotal_AreRefused) {
  CacheBudget budget{kTotal};
  Member first{budget, false};
  Member second{budget};
  ASSERT_TRUE(first.share.set_fixed_size(5 * kMiB).has_value()); // counts although inactive
  const auto refused = second.share.set_fixed_size(7 * kMiB + 1);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::invalid);
  EXPECT_THAT(refused.error().text, HasSubstr("12 MiB"));
  EXPECT_THAT(refused.error().text, HasSubstr("5 MiB"));
  EXPECT_THAT(refused.error().text, HasSubstr("--cache-size"));
  EXPECT_EQ(second.limit(), kTotal); // as before
  EXPECT_FALSE(second.share.set_fixed_size(std::numeric_limits<std::uint64_t>::max()).has_value());
  const auto too_small = second.share.set_fixed_size(kPageSize - 1);
  EXPECT_EQ(too_small.error().kind, ErrorKind::invalid);
  EXPECT_THAT(too_small.error().text, HasSubstr("give it 4096 or more, or 0"));
  EXPECT_TRUE(second.share.set_fixed_size(kPageSize).has_value());
  EXPECT_TRUE(second.share.set_fixed_size(7 * kMiB).has_value());
  EXPECT_TRUE(second.share.set_fixed_size(7 * kMiB).has_value()); // does not count twice
  first.share.set_active(true);
  EXPECT_EQ(first.limit(), 5 * kMiB);
}

TEST(CacheBudget, InactiveVm_PagesAreDropped) {
  CacheBudget budget{kTotal};
  Member member{budget};
  const PageRequest request{1, 0, 1};
  const auto claimed = member.cache.claim(Gfn{7}, request);
  ASSERT_EQ(claimed.what, PageCache::Claim::claimed);
  member.cache.publish(claimed.frame, {1, 1}, false);
  EXPECT_EQ(member.cache.stats().used_bytes, kPageSize);
  member.share.set_active(false);
  EXPECT_EQ(member.cache.stats().used_bytes, 0);
  member.share.set_active(true);
  EXPECT_EQ(member.cache.find(Gfn{7}, request), nullptr);
}

TEST(CacheBudget, MovedShare_ShrinksBeforeTheOtherGrows) {
  CacheBudget budget{kTotal};
  Member taker{budget}; // before the other one: the order of creation must not matter
  Member giver{budget};
  std::atomic<int> moves{0}; // odd while one is under way
  std::atomic<bool> stop{false};
  std::uint64_t most = 0;
  std::jthread watcher{[&] {
    while (!stop.load()) {
      const int move = moves.load();
      // The taker first: its bytes must have left the giver before.
      const std::uint64_t taken = taker.cache.stats().limit_bytes;
      const std::uint64_t left = giver.cache.stats().limit_bytes;
      if (move % 2 == 1 && moves.load() == move) {
        most = std::max(most, taken + left);
      }
    }
  }};
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(taker.share.set_fixed_size(0).has_value());
    for (std::uint64_t page = 0; page < kTotal / kPageSize; ++page) { // so that the move takes a while
      const auto claimed = giver.cache.claim(Gfn{page}, {1, 0, 1});
      ASSERT_EQ(claimed.what, PageCache::Claim::claimed);
      giver.cache.publish(claimed.frame, {1, 1}, false);
    }
    ++moves;
    ASSERT_TRUE(taker.share.set_fixed_size(kTotal).has_value());
    EXPECT_EQ(taker.limit(), kTotal);
    EXPECT_EQ(giver.limit(), 0);
    ++moves;
  }
  stop = true;
  watcher.join();
  EXPECT_LE(most, kTotal);
}

} // namespace
} // namespace vmemfs
