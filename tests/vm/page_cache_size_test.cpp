// SPDX-License-Identifier: MIT
// What is left of a page cache that is cleared, or gets another limit.
#include "page_cache_fixture.h"

#include <algorithm>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Dropping all.

TEST_F(PageCacheTest, Clear_DropsAll) {
  load_all(0, kPages);
  cache_.clear();
  EXPECT_EQ(missing(0, kPages).size(), kPages);
  EXPECT_EQ(used_pages(), 0U);
  EXPECT_EQ(cache_.stats().evictions, 0U);
  load_all(0, kPages);
  EXPECT_THAT(missing(0, kPages), IsEmpty());
}

TEST_F(PageCacheTest, Clear_PinnedPageStaysUsable) {
  load_all(0, 8);
  PageCache::Frame* const pinned = load_pinned(8);
  cache_.clear();
  EXPECT_FALSE(has(8));
  EXPECT_EQ(used_pages(), 1U);
  load_all(0, 100); // 8 too
  EXPECT_TRUE(is_filled(pinned, Gfn{8}, kEpoch));
  cache_.clear();
  EXPECT_TRUE(is_filled(pinned, Gfn{8}, kEpoch));
  EXPECT_EQ(used_pages(), 1U);
  cache_.unpin(pinned);
  EXPECT_EQ(used_pages(), 0U);
}

TEST_F(PageCacheTest, Clear_ClaimedPageIsNotFoundLater) {
  PageCache::Frame* const published = claim_new(1);
  PageCache::Frame* const pinned = claim_new(2);
  PageCache::Frame* const abandoned = claim_new(3);
  PageCache::Frame* const abandoned_pinned = claim_new(4);
  cache_.clear();
  EXPECT_EQ(used_pages(), 4U);
  PageCache::Frame* const again = claim_new(1); // a second read, in another frame
  EXPECT_NE(again, published);
  cache_.publish(published, {kEpoch, now_}, false);
  EXPECT_FALSE(has(1));
  cache_.publish(again, {kEpoch, now_}, false);
  EXPECT_TRUE(has(1));

  cache_.publish(pinned, {kEpoch, now_}, true);
  cache_.abandon(abandoned, false);
  cache_.abandon(abandoned_pinned, true);
  EXPECT_EQ(missing(2, 5).size(), 3U);
  EXPECT_TRUE(is_filled(pinned, Gfn{2}, kEpoch));
  EXPECT_TRUE(is_filled(abandoned_pinned, Gfn{4}, kEpoch));
  EXPECT_EQ(used_pages(), 3U);
  cache_.unpin(pinned);
  cache_.unpin(abandoned_pinned);
  EXPECT_EQ(used_pages(), 1U);
}

TEST_F(PageCacheTest, Clear_ReleasesMemory) {
  std::vector<PageCache::Frame*> frames;
  for (std::uint64_t page = 0; page < kPages; ++page) {
    frames.push_back(load_pinned(page));
  }
  for (std::size_t i = 3; i < kPages; ++i) {
    cache_.unpin(frames[i]);
  }
  PageCache::Frame* const claimed = frames[3]; // page 3 again
  ASSERT_EQ(cache_.claim(Gfn{3}, request(kEpoch + 1)).frame, claimed);
  EXPECT_TRUE(std::ranges::all_of(frames, is_resident));
  cache_.clear();
  EXPECT_EQ(std::ranges::count_if(frames, is_resident), 4);
  for (std::size_t i = 0; i < 3; ++i) {
    cache_.unpin(frames[i]);
    EXPECT_FALSE(is_resident(frames[i])) << i;
  }
  cache_.publish(claimed, {kEpoch + 1, now_}, true);
  EXPECT_TRUE(is_resident(claimed));
  cache_.unpin(claimed);
  EXPECT_TRUE(std::ranges::none_of(frames, is_resident));
}

TEST_F(PageCacheTest, Clear_PinnedMemoryIsReleasedAtUnpin) {
  for (const bool clears : {true, false}) {
    PageCache::Frame* const abandoned = claim_new(1);
    cache_.abandon(abandoned, true);
    if (clears) {
      cache_.clear();
    } else {
      cache_.set_limit(0);
    }
    EXPECT_TRUE(is_filled(abandoned, Gfn{1}, kEpoch));
    cache_.unpin(abandoned);
    EXPECT_FALSE(is_resident(abandoned)) << clears;
  }
}

// Changes of the limit.

TEST_F(PageCacheTest, SmallerLimit_KeepsMostRecentlyUsed) {
  load_all(0, kPages);
  touch(0);
  touch(9);
  cache_.set_limit(5 * kPageSize);
  EXPECT_EQ(used_pages(), 5U);
  EXPECT_EQ(cache_.stats().limit_bytes, 5 * kPageSize);
  EXPECT_THAT(missing(0, kPages), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12));
  load(100);
  EXPECT_EQ(used_pages(), 5U);
  EXPECT_FALSE(has(13));
  EXPECT_TRUE(has(14));
}

TEST_F(PageCacheTest, LargerLimit_KeepsAll) {
  load_all(0, kPages);
  cache_.set_limit(2 * kPages * kPageSize);
  EXPECT_THAT(missing(0, kPages), IsEmpty());
  load_all(kPages, 2 * kPages);
  EXPECT_THAT(missing(0, 2 * kPages), IsEmpty());
  load(100);
  EXPECT_THAT(missing(0, 2 * kPages), ElementsAre(0));
}

TEST_F(PageCacheTest, Limit_IsRoundedDownToPages) {
  cache_.set_limit(2 * kPageSize - 1);
  load_all(0, 2);
  EXPECT_THAT(missing(0, 2), ElementsAre(0));
}

TEST_F(PageCacheTest, ZeroLimit_ClaimIsFull) {
  PageCache none{0};
  EXPECT_EQ(none.claim(Gfn{1}, request()).what, Claim::full);
  EXPECT_EQ(none.find(Gfn{1}, request()), nullptr);
  EXPECT_EQ(none.stats().used_bytes, 0U);

  load_all(0, kPages);
  cache_.set_limit(0);
  EXPECT_EQ(missing(0, kPages).size(), kPages);
  EXPECT_EQ(used_pages(), 0U);
  EXPECT_EQ(claim_and_abandon(1), Claim::full);
  cache_.set_limit(kPages * kPageSize);
  load_all(0, kPages);
  EXPECT_THAT(missing(0, kPages), IsEmpty());
}

TEST_F(PageCacheTest, SmallerLimit_ReleasesMemory) {
  std::vector<PageCache::Frame*> frames;
  for (std::uint64_t page = 0; page < kPages; ++page) {
    frames.push_back(load_pinned(page));
  }
  std::ranges::for_each(frames, [&](auto* frame) { cache_.unpin(frame); });
  cache_.set_limit(5 * kPageSize);
  EXPECT_EQ(std::ranges::count_if(frames, is_resident), 5);
  cache_.set_limit(0);
  EXPECT_TRUE(std::ranges::none_of(frames, is_resident));
}

TEST_F(PageCacheTest, SmallerLimit_PinnedOrClaimedPagesStayUsable) {
  std::vector<PageCache::Frame*> pinned;
  for (std::uint64_t page = 0; page < 6; ++page) {
    pinned.push_back(load_pinned(page));
  }
  load_all(6, 12);
  PageCache::Frame* const claimed = claim_new(12);
  cache_.set_limit(3 * kPageSize);
  // Unpinned pages are evicted first; then, of 0 to 5 and 12, the four least recently used.
  EXPECT_THAT(missing(0, 12), ElementsAre(0, 1, 2, 3, 6, 7, 8, 9, 10, 11));
  EXPECT_EQ(used_pages(), 7U);
  EXPECT_EQ(claim_and_abandon(100), Claim::full);
  for (std::uint64_t page = 0; page < 6; ++page) {
    EXPECT_TRUE(is_filled(pinned[page], Gfn{page}, kEpoch)) << page;
    cache_.unpin(pinned[page]);
    EXPECT_EQ(is_resident(pinned[page]), page > 3) << page;
  }
  EXPECT_EQ(used_pages(), 3U);
  cache_.publish(claimed, {kEpoch, now_}, false);
  EXPECT_TRUE(has(12));
  load(100);
  EXPECT_EQ(used_pages(), 3U);
  EXPECT_THAT(missing(4, 6), ElementsAre(4));
}

TEST_F(PageCacheTest, ZeroLimit_PinnedOrClaimedPagesStayUsable) {
  PageCache::Frame* const pinned = load_pinned(1);
  PageCache::Frame* const claimed = claim_new(2);
  cache_.set_limit(0);
  EXPECT_FALSE(has(1));
  EXPECT_EQ(used_pages(), 2U);
  EXPECT_TRUE(is_filled(pinned, Gfn{1}, kEpoch));
  cache_.publish(claimed, {kEpoch, now_}, true);
  EXPECT_FALSE(has(2));
  EXPECT_TRUE(is_filled(claimed, Gfn{2}, kEpoch));
  cache_.unpin(pinned);
  cache_.unpin(claimed);
  EXPECT_EQ(used_pages(), 0U);
  EXPECT_FALSE(is_resident(pinned));
  EXPECT_FALSE(is_resident(claimed));
}

TEST_F(PageCacheTest, ShardCountChanges_PagesAreRight) {
  constexpr std::uint64_t kMany = 2 * kShardPages;
  load_all(0, kPages);
  PageCache::Frame* const pinned = load_pinned(9999);
  PageCache::Frame* const claimed = claim_new(8888);
  for (const std::uint64_t shards : {2U, 4U, 1U, 3U, 8U, 1U}) {
    cache_.set_limit(shards * kShardPages * kPageSize);
    EXPECT_TRUE(is_filled(pinned, Gfn{9999}, kEpoch));
    for (std::uint64_t page = 0; page < kMany; ++page) {
      if (!has(page)) {
        load(page);
      }
    }
    const std::uint64_t outlived = 2;
    EXPECT_LE(used_pages(), shards * kShardPages + outlived);
    if (shards > 2) {
      EXPECT_THAT(missing(0, kMany), IsEmpty());
    } else {
      EXPECT_LE(missing(0, kMany).size(), kMany - shards * kShardPages + outlived);
    }
  }
  cache_.unpin(pinned);
  cache_.publish(claimed, {kEpoch, now_}, false);
  EXPECT_FALSE(has(8888)); // it was dropped
  cache_.clear();
  EXPECT_EQ(used_pages(), 0U);
}

} // namespace
} // namespace vmemfs::test
