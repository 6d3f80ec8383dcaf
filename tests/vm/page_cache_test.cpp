// SPDX-License-Identifier: MIT
#include "page_cache_fixture.h"

#include <algorithm>
#include <random>
#include <tuple>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(PageCacheTest, NewCache_IsEmpty) {
  EXPECT_EQ(cache_.find(Gfn{7}, request()), nullptr);
  EXPECT_EQ(cache_.wait_for(Gfn{7}, request()), nullptr);
  EXPECT_EQ(used_pages(), 0U);
  EXPECT_EQ(cache_.stats().limit_bytes, kPages * kPageSize);
}

TEST_F(PageCacheTest, PublishedPage_IsFound) {
  load(7);
  EXPECT_TRUE(has(7));
  EXPECT_FALSE(has(8));
  const auto claimed = cache_.claim(Gfn{7}, request());
  ASSERT_EQ(claimed.what, Claim::hit);
  EXPECT_TRUE(is_filled(claimed.frame, Gfn{7}, kEpoch));
  cache_.unpin(claimed.frame);
  EXPECT_EQ(used_pages(), 1U);
}

TEST_F(PageCacheTest, PublishWithoutPin_PageIsEvictable) {
  cache_.publish(claim_new(7), {kEpoch, now_}, false);
  EXPECT_TRUE(has(7));
  load_all(100, 100 + kPages); // nothing pins it
  EXPECT_FALSE(has(7));
}

TEST_F(PageCacheTest, Find_OtherEpoch_Misses) {
  load(7);
  EXPECT_FALSE(has(7, kEpoch - 1));
  EXPECT_FALSE(has(7, kEpoch + 1));
  EXPECT_EQ(cache_.wait_for(Gfn{7}, request(kEpoch + 1)), nullptr);
  EXPECT_TRUE(has(7));
}

TEST_F(PageCacheTest, Find_TooOldPage_Misses) {
  cache_.publish(claim_new(7), {kEpoch, 1000}, false);
  EXPECT_TRUE(hit(7, {kEpoch, 1000, 2000}));
  EXPECT_FALSE(hit(7, {kEpoch, 1001, 2000}));
  EXPECT_EQ(cache_.wait_for(Gfn{7}, {kEpoch, 1001, 2000}), nullptr);
  const auto claimed = cache_.claim(Gfn{7}, {kEpoch, 1001, 2000});
  EXPECT_EQ(claimed.what, Claim::claimed);
  cache_.publish(claimed.frame, {kEpoch, 2000}, false);
}

TEST_F(PageCacheTest, Publish_StampOfThePublisherCounts) {
  cache_.publish(claim_new(7, kEpoch + 1), {kEpoch, 50},
                 false); // its read began in the epoch before, and long ago
  EXPECT_EQ(cache_.find(Gfn{7}, {kEpoch + 1, 0, ++now_}), nullptr);
  EXPECT_EQ(cache_.find(Gfn{7}, {kEpoch, 51, ++now_}), nullptr);
  PageCache::Frame* const frame = cache_.find(Gfn{7}, {kEpoch, 50, ++now_});
  ASSERT_NE(frame, nullptr);
  cache_.unpin(frame);
}

TEST_F(PageCacheTest, NewerPage_ReusesTheFrameOfTheStaleOne) {
  load(7);
  load(7, kEpoch + 1);
  EXPECT_FALSE(has(7));
  EXPECT_TRUE(has(7, kEpoch + 1));
  EXPECT_EQ(used_pages(), 1U);
  EXPECT_EQ(cache_.stats().evictions, 0U);
}

TEST_F(PageCacheTest, ReplacedPage_StaysValidForItsReaders) {
  PageCache::Frame* const old = load_pinned(7);
  load(7, kEpoch + 1);
  EXPECT_FALSE(has(7));
  EXPECT_TRUE(has(7, kEpoch + 1));
  EXPECT_TRUE(is_filled(old, Gfn{7}, kEpoch));
  EXPECT_EQ(used_pages(), 2U);
  cache_.unpin(old);
  EXPECT_EQ(used_pages(), 1U);
  EXPECT_TRUE(has(7, kEpoch + 1));
}

TEST_F(PageCacheTest, PageBeingRead_IsNotFound) {
  PageCache::Frame* const frame = claim_new(7);
  EXPECT_FALSE(has(7));
  EXPECT_EQ(cache_.claim(Gfn{7}, request()).what, Claim::loading);
  // A page being read does not serve readers that need a newer one or another epoch.
  EXPECT_EQ(cache_.claim(Gfn{7}, request(kEpoch + 1)).what, Claim::full);
  EXPECT_EQ(cache_.claim(Gfn{7}, {kEpoch, now_ + 1, now_ + 2}).what, Claim::full);
  EXPECT_EQ(cache_.wait_for(Gfn{7}, request(kEpoch + 1)), nullptr);
  cache_.publish(frame, {kEpoch, now_}, false);
  EXPECT_TRUE(has(7));
}

// Eviction.

TEST_F(PageCacheTest, FullCache_EvictsLeastRecentlyUsed) {
  load_all(0, kPages);
  EXPECT_THAT(missing(0, kPages), IsEmpty());
  touch(0);
  touch(2);
  touch(5);
  load(100);
  EXPECT_THAT(missing(0, kPages), ElementsAre(1));
  load(101);
  EXPECT_THAT(missing(0, kPages), ElementsAre(1, 3));
  touch(4);
  load(102);
  EXPECT_THAT(missing(0, kPages), ElementsAre(1, 3, 6));
  load_all(103, 112);
  EXPECT_THAT(missing(0, kPages), ElementsAre(1, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  load(112);
  EXPECT_THAT(missing(0, 6), ElementsAre(0, 1, 3));
  load_all(113, 115);
  EXPECT_THAT(missing(0, 6), ElementsAre(0, 1, 2, 3, 5));
  EXPECT_THAT(missing(100, 115), IsEmpty());
  load(115);
  load(116);
  EXPECT_THAT(missing(100, 117), ElementsAre(100, 101));
  EXPECT_TRUE(has(4)); // touched between 101 and 102
  load(117);
  EXPECT_FALSE(has(4));
  EXPECT_THAT(missing(100, 118), ElementsAre(100, 101));
  EXPECT_EQ(used_pages(), kPages);
  EXPECT_EQ(cache_.stats().evictions, 18U);
}

TEST_F(PageCacheTest, HitByClaim_CountsAsUse) {
  load_all(0, kPages);
  EXPECT_EQ(claim_and_abandon(0), Claim::hit);
  last_used_[0] = now_;
  load(100);
  EXPECT_THAT(missing(0, kPages), ElementsAre(1));
}

TEST_F(PageCacheTest, LatePublish_RanksByItsClaim) {
  load(0);
  PageCache::Frame* const first = claim_new(1);
  load(2);
  load(3);
  PageCache::Frame* const second = claim_new(4);
  load_all(5, kPages);
  load(100); // replaces 0; 2, 3 and 5 are selected as the next already
  cache_.publish(second, {kEpoch, now_}, false);
  cache_.publish(first, {kEpoch, now_}, false);
  load(101);
  EXPECT_THAT(missing(0, kPages), ElementsAre(0, 1));
  load(102);
  EXPECT_THAT(missing(0, kPages), ElementsAre(0, 1, 2));
  load_all(103, 105);
  EXPECT_THAT(missing(0, kPages), ElementsAre(0, 1, 2, 3, 4));
  load(105);
  EXPECT_THAT(missing(0, kPages), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(PageCacheTest, FullCache_EvictsOtherEpochsFirst) {
  load_all(0, 8);
  for (std::uint64_t page = 8; page < kPages; ++page) {
    load(page, kEpoch - 1); // used more recently
  }
  load_all(100, 103);
  EXPECT_THAT(missing(0, 8), IsEmpty());
  for (std::uint64_t page = 8; page < kPages; ++page) {
    EXPECT_EQ(has(page, kEpoch - 1), page >= 11) << page;
  }
  load_all(103, 108);
  EXPECT_THAT(missing(0, 8), IsEmpty());
  load(108);
  EXPECT_THAT(missing(0, 8), ElementsAre(0));
  load(200, kEpoch + 1); // now all of them are of another epoch
  EXPECT_THAT(missing(0, 8), ElementsAre(0, 1));
}

/// Compared with a model that scans all pages each time.
TEST_F(PageCacheTest, ManyPages_EvictionOrderIsExact) {
  constexpr std::uint64_t kMany = 300;
  struct Page {
    std::uint64_t epoch;
    std::int64_t last_used;
    std::vector<PageCache::Frame*> pins;
  };
  std::map<std::uint64_t, Page> model;
  std::vector<PageCache::Frame*> replaced; // still pinned
  std::uint64_t epoch = kEpoch;
  std::mt19937_64 random{1};
  cache_.set_limit(kMany * kPageSize);

  for (int step = 0; step < 30'000; ++step) {
    const std::uint64_t number = random() % 450;
    const auto page = model.find(number);
    const bool there = page != model.end() && page->second.epoch == epoch;
    if (random() % 3000 == 0) {
      ++epoch;
    } else if (random() % 20 == 0) {
      if (page != model.end() && !page->second.pins.empty()) {
        cache_.unpin(page->second.pins.back());
        page->second.pins.pop_back();
      } else if (!replaced.empty()) {
        cache_.unpin(replaced.back());
        replaced.pop_back();
      }
    } else if (random() % 4 != 0) {
      PageCache::Frame* const frame = cache_.find(Gfn{number}, request(epoch));
      ASSERT_EQ(frame != nullptr, there) << number << " in step " << step;
      if (there) {
        ASSERT_TRUE(is_filled(frame, Gfn{number}, epoch));
        page->second.last_used = now_;
        if (random() % 30 == 0) {
          page->second.pins.push_back(frame);
        } else {
          cache_.unpin(frame);
        }
      }
    } else if (!there) {
      if (page != model.end()) {
        replaced.insert(replaced.end(), page->second.pins.begin(), page->second.pins.end());
      }
      const bool in_place = page != model.end() && page->second.pins.empty();
      if (page != model.end()) {
        model.erase(page);
      }
      std::vector<PageCache::Frame*> doomed = replaced;
      std::ranges::sort(doomed);
      const auto same = std::ranges::unique(doomed);
      doomed.erase(same.begin(), same.end());
      if (!in_place && model.size() + doomed.size() == kMany) {
        const auto goes = std::ranges::min_element(model, {}, [&](const auto& entry) {
          const Page& each = entry.second;
          return std::tuple{!each.pins.empty(), each.epoch == epoch, each.last_used};
        });
        ASSERT_TRUE(goes != model.end() && goes->second.pins.empty()) << "make the test pin less";
        model.erase(goes);
      }
      load(number, epoch);
      model[number] = {epoch, now_, {}};
      ASSERT_EQ(used_pages(), model.size() + doomed.size());
    }
  }
  EXPECT_GT(cache_.stats().evictions, 1000U);
  for (auto& [number, page] : model) {
    std::ranges::for_each(page.pins, [&](auto* frame) { cache_.unpin(frame); });
  }
  std::ranges::for_each(replaced, [&](auto* frame) { cache_.unpin(frame); });
  EXPECT_EQ(used_pages(), model.size());
}

TEST_F(PageCacheTest, LargeCache_HoldsItsLimitOfConsecutivePages) {
  constexpr std::uint64_t kMany = 4 * kShardPages;
  cache_.set_limit(kMany * kPageSize);
  load_all(0, kMany);
  EXPECT_THAT(missing(0, kMany), IsEmpty());
  EXPECT_EQ(used_pages(), kMany);
  EXPECT_EQ(cache_.stats().evictions, 0U);
  load_all(kMany, kMany + 100);
  EXPECT_EQ(missing(0, kMany + 100).size(), 100U);
  EXPECT_THAT(missing(kMany, kMany + 100), IsEmpty());
  EXPECT_EQ(used_pages(), kMany);
}

/// Enough pages for hash collisions in the index.
TEST_F(PageCacheTest, IndexCollisions_NeverGiveAWrongPage) {
  constexpr std::uint64_t kMany = kShardPages;
  cache_.set_limit(kMany * kPageSize);
  std::mt19937_64 random{1};
  const auto any_page = [&] { return random() >> 14U; };
  std::vector<std::uint64_t> pages(4 * kMany);
  std::ranges::generate(pages, any_page);
  std::ranges::for_each(pages, [&](std::uint64_t page) { load(page); });
  for (std::size_t i = 0; i < pages.size(); ++i) {
    ASSERT_EQ(has(pages[i]), i >= 3 * kMany) << pages[i];
  }
  for (int i = 0; i < 50'000; ++i) {
    const std::uint64_t page = any_page();
    ASSERT_EQ(cache_.find(Gfn{page}, request()), nullptr) << page;
  }
}

// Pins.

TEST_F(PageCacheTest, PinnedPages_AreNotEvicted) {
  std::map<std::uint64_t, PageCache::Frame*> pinned;
  for (std::uint64_t page = 0; page < 10; ++page) {
    pinned[page] = load_pinned(page);
  }
  for (std::uint64_t page = 100; page < 200; ++page) {
    PageCache::Frame* const frame = load_pinned(page);
    for (const auto& [number, other] : pinned) {
      ASSERT_NE(frame, other) << number;
    }
    cache_.unpin(frame);
  }
  for (const auto& [page, frame] : pinned) {
    EXPECT_TRUE(is_filled(frame, Gfn{page}, kEpoch)) << page;
    EXPECT_TRUE(has(page)) << page;
    cache_.unpin(frame);
  }
  load(200); // 0 to 9 are the least recently used now
  EXPECT_THAT(missing(0, 10), ElementsAre(0));
}

TEST_F(PageCacheTest, ManyPinnedStalePages_DoNotBlockEviction) {
  cache_.set_limit(300 * kPageSize);
  std::vector<PageCache::Frame*> pinned;
  for (std::uint64_t page = 0; page < 200; ++page) {
    pinned.push_back(load_pinned(page));
  }
  load_all(200, 300);
  load_all(1000, 1080);
  EXPECT_EQ(missing(0, 300).size(), 80U);
  EXPECT_THAT(missing(0, 200), IsEmpty());
  EXPECT_THAT(missing(280, 300), IsEmpty());
  std::ranges::for_each(pinned, [&](auto* frame) { cache_.unpin(frame); });
  load_all(1080, 1090); // evictable now
  EXPECT_THAT(missing(0, 200), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST_F(PageCacheTest, SeveralPins_EachCounts) {
  PageCache::Frame* const first = load_pinned(7);
  ASSERT_EQ(cache_.find(Gfn{7}, request()), first);
  cache_.unpin(first);
  load_all(100, 200);
  EXPECT_TRUE(is_filled(first, Gfn{7}, kEpoch));
  cache_.unpin(first);
  load_all(200, 200 + kPages);
  EXPECT_FALSE(has(7));
}

TEST_F(PageCacheTest, AllPinnedOrClaimed_ClaimIsFull) {
  std::vector<PageCache::Frame*> pinned;
  for (std::uint64_t page = 0; page < kPages - 1; ++page) {
    pinned.push_back(load_pinned(page));
  }
  PageCache::Frame* const claimed = claim_new(50);
  EXPECT_EQ(claim_and_abandon(100), Claim::full);
  EXPECT_EQ(claim_and_abandon(3), Claim::hit);
  EXPECT_EQ(claim_and_abandon(50), Claim::loading);
  EXPECT_EQ(cache_.claim(Gfn{3}, request(kEpoch + 1)).what, Claim::full); // and it is evicted
  EXPECT_FALSE(has(3));
  EXPECT_TRUE(is_filled(pinned[3], Gfn{3}, kEpoch));

  cache_.unpin(pinned[5]);
  load(100);
  EXPECT_FALSE(has(5));
  for (std::uint64_t page = 0; page < kPages - 1; ++page) {
    if (page != 5) {
      EXPECT_TRUE(is_filled(pinned[page], Gfn{page}, kEpoch)) << page;
      cache_.unpin(pinned[page]);
    }
  }
  cache_.publish(claimed, {kEpoch, now_}, false);
  EXPECT_TRUE(has(50));
}

// Pages that could not be read.

TEST_F(PageCacheTest, AbandonedPage_IsNotFound) {
  cache_.abandon(claim_new(7), false);
  EXPECT_FALSE(has(7));
  EXPECT_EQ(used_pages(), 0U);
  load(7);
  EXPECT_TRUE(has(7));
}

TEST_F(PageCacheTest, AbandonedPage_MayStayPinned) {
  PageCache::Frame* const frame = claim_new(7);
  cache_.abandon(frame, true);
  EXPECT_FALSE(has(7));
  EXPECT_EQ(used_pages(), 1U);
  load_all(0, 100); // 7 too
  EXPECT_TRUE(is_filled(frame, Gfn{7}, kEpoch));
  EXPECT_EQ(used_pages(), kPages);
  cache_.unpin(frame);
  EXPECT_EQ(used_pages(), kPages - 1);
  load(200);
  EXPECT_EQ(used_pages(), kPages);
  EXPECT_THAT(missing(100 - (kPages - 1), 100), IsEmpty()); // it used the free frame
}

TEST_F(PageCacheTest, AbandonedPinnedPages_FillTheCache) {
  std::vector<PageCache::Frame*> abandoned;
  for (std::uint64_t page = 0; page < kPages; ++page) {
    abandoned.push_back(claim_new(page));
    cache_.abandon(abandoned.back(), true);
  }
  EXPECT_EQ(claim_and_abandon(0), Claim::full);
  for (std::uint64_t page = 0; page < kPages; ++page) {
    EXPECT_TRUE(is_filled(abandoned[page], Gfn{page}, kEpoch));
    cache_.unpin(abandoned[page]);
  }
  EXPECT_EQ(used_pages(), 0U);
  load_all(0, kPages);
  EXPECT_THAT(missing(0, kPages), IsEmpty());
}

} // namespace
} // namespace vmemfs::test
