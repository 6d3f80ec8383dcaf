// SPDX-License-Identifier: MIT
// Many threads on one cache.
#include "page_cache_fixture.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <thread>

namespace vmemfs::test {
namespace {

// Readers of one page at the same time.

class OnePageManyReaders : public PageCacheTest {
protected:
  static constexpr std::size_t kReaders = 8;
  struct Seen {
    std::array<Claim, kReaders> claims;
    std::array<PageCache::Frame*, kReaders> frames;
  };

  /// All threads claim the page at once. The one that gets it waits a little and then calls `finish`, the
  /// others wait for it.
  Seen claim_together(const std::function<void(PageCache::Frame*)>& finish) {
    Seen seen{};
    std::barrier start{kReaders};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kReaders; ++i) {
      threads.emplace_back([&, i] {
        const PageRequest request{kEpoch, 0, 200};
        start.arrive_and_wait();
        const auto claimed = cache_.claim(Gfn{7}, request);
        seen.claims[i] = claimed.what;
        start.arrive_and_wait();
        if (claimed.what == Claim::claimed) {
          std::this_thread::sleep_for(std::chrono::milliseconds{20});
          finish(claimed.frame);
        } else if (claimed.what == Claim::loading) {
          seen.frames[i] = cache_.wait_for(Gfn{7}, request);
        }
      });
    }
    std::ranges::for_each(threads, [](std::thread& each) { each.join(); });
    EXPECT_EQ(std::ranges::count(seen.claims, Claim::claimed), 1);
    EXPECT_EQ(std::ranges::count(seen.claims, Claim::loading), kReaders - 1);
    return seen;
  }
};

TEST_F(OnePageManyReaders, OneClaims_AllGetThePage) {
  for (int round = 0; round < 10; ++round) {
    const Seen seen = claim_together([&](PageCache::Frame* frame) {
      fill(frame, Gfn{7}, kEpoch);
      cache_.publish(frame, {kEpoch, 150}, false);
    });
    for (std::size_t i = 0; i < kReaders; ++i) {
      if (seen.claims[i] == Claim::loading) {
        ASSERT_NE(seen.frames[i], nullptr);
        EXPECT_TRUE(is_filled(seen.frames[i], Gfn{7}, kEpoch));
        cache_.unpin(seen.frames[i]);
      }
    }
    EXPECT_EQ(used_pages(), 1U);
    cache_.clear();
    EXPECT_EQ(used_pages(), 0U);
  }
}

TEST_F(OnePageManyReaders, Abandoned_NobodyGetsThePage) {
  for (const bool pin : {false, true}) {
    PageCache::Frame* abandoned = nullptr;
    const Seen seen = claim_together([&](PageCache::Frame* frame) {
      cache_.abandon(frame, pin);
      abandoned = frame;
    });
    EXPECT_THAT(seen.frames, testing::Each(nullptr));
    EXPECT_EQ(used_pages(), pin ? 1U : 0U);
    if (pin) {
      cache_.unpin(abandoned);
    }
  }
}

TEST_F(OnePageManyReaders, TooOldWhenPublished_NobodyGetsThePage) {
  const Seen seen = claim_together([&](PageCache::Frame* frame) {
    cache_.publish(frame, {kEpoch - 1, 150}, false);
  });
  EXPECT_THAT(seen.frames, testing::Each(nullptr));
}

TEST_F(OnePageManyReaders, ClearWhileWaiting_WakesTheWaiters) {
  PageCache::Frame* forgotten = nullptr;
  const Seen seen = claim_together([&](PageCache::Frame* frame) {
    forgotten = frame;
    cache_.clear(); // only this ends their wait
  });
  EXPECT_THAT(seen.frames, testing::Each(nullptr));
  cache_.publish(forgotten, {kEpoch, 150}, false);
  EXPECT_FALSE(has(7));
  EXPECT_EQ(used_pages(), 0U);
}

// All at once.

class PageCacheStress : public testing::Test {
protected:
  static constexpr std::size_t kThreads = 4;
  static constexpr int kSteps = 25'000; ///< each
  static constexpr std::size_t kHeld = 3;

  /// A pinned frame, and the content that it must keep.
  struct Held {
    PageCache::Frame* frame;
    Gfn gfn;
    std::uint64_t epoch;
  };

  void run(unsigned seed) {
    std::mt19937 random{seed};
    std::vector<Held> held;
    for (int step = 0; step < kSteps && wrong_ == 0; ++step) {
      if (random() % 300 == 0) {
        ++epoch_;
      }
      if (seed == 0 && random() % 500 == 0) {
        constexpr std::array<std::size_t, 7> kLimits{0, 8, 16, 64, 300, 1500, 3000};
        cache_.set_limit(kLimits[random() % kLimits.size()] * kPageSize);
      } else if (seed == 1 && random() % 1000 == 0) {
        cache_.clear();
      }
      const Held got = get(random);
      if (got.frame != nullptr) {
        check(got);
        held.push_back(got);
      }
      while (held.size() > random() % (kHeld + 1)) {
        check(held.front()); // content unchanged
        cache_.unpin(held.front().frame);
        held.erase(held.begin());
      }
    }
    std::ranges::for_each(held, [&](const Held& each) { cache_.unpin(each.frame); });
  }

  /// A page, pinned. Mostly one of few, so that threads meet; sometimes one of many, so that pages are
  /// evicted.
  Held get(std::mt19937& random) {
    const Gfn gfn{random() % 4 != 0 ? random() % 40 : random() % 2000};
    const std::uint64_t epoch = epoch_;
    const std::int64_t now = ++now_;
    const PageRequest request{epoch, now - 500, now};
    if (PageCache::Frame* const frame = cache_.find(gfn, request)) {
      ++hits_;
      return {frame, gfn, epoch};
    }
    const auto [what, frame] = cache_.claim(gfn, request);
    switch (what) {
    case Claim::hit: return {frame, gfn, epoch};
    case Claim::claimed: return load(random, {frame, gfn, epoch}, now);
    case Claim::loading: ++merged_; return {cache_.wait_for(gfn, request), gfn, epoch};
    case Claim::full: ++full_; break;
    }
    return {nullptr, gfn, epoch};
  }

  Held load(std::mt19937& random, const Held& claimed, std::int64_t now) {
    std::memset(PageCache::bytes(claimed.frame).data(), 0xEE, kPageSize); // nobody may see this
    if (random() % 4 == 0) {
      std::this_thread::yield();
    }
    fill(claimed.frame, claimed.gfn, claimed.epoch);
    const bool pin = random() % 2 == 0;
    if (random() % 8 == 0) {
      cache_.abandon(claimed.frame, pin);
    } else {
      cache_.publish(claimed.frame, {claimed.epoch, now}, pin);
    }
    return pin ? claimed : Held{nullptr, claimed.gfn, claimed.epoch};
  }

  void check(const Held& held) {
    if (!is_filled(held.frame, held.gfn, held.epoch)) {
      ++wrong_;
      ADD_FAILURE() << "page " << held.gfn.value() << " of epoch " << held.epoch;
    }
  }

  PageCache cache_{64 * kPageSize};
  std::atomic<std::uint64_t> epoch_{kEpoch};
  std::atomic<std::int64_t> now_{1000};
  std::atomic<std::uint64_t> hits_{0};
  std::atomic<std::uint64_t> merged_{0};
  std::atomic<std::uint64_t> full_{0};
  std::atomic<int> wrong_{0};
};

TEST_F(PageCacheStress, ManyThreads_NoWrongPage) {
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < kThreads; ++seed) {
    threads.emplace_back([&, seed] { run(seed); });
  }
  std::ranges::for_each(threads, [](std::thread& each) { each.join(); });
  EXPECT_GT(hits_, 1000U);
  EXPECT_GT(cache_.stats().evictions, 100U);
  RecordProperty("hits", std::to_string(hits_));
  RecordProperty("merged", std::to_string(merged_));
  RecordProperty("full", std::to_string(full_));

  // No frame leaked: all are free, and each can be claimed once.
  cache_.clear();
  EXPECT_EQ(cache_.stats().used_bytes, 0U);
  constexpr std::uint64_t kAll = 4 * kShardPages;
  cache_.set_limit(kAll * kPageSize);
  const PageRequest request{epoch_, 0, now_};
  std::vector<PageCache::Frame*> frames;
  for (std::uint64_t page = 0; page < kAll; ++page) {
    const auto claimed = cache_.claim(Gfn{page}, request);
    ASSERT_EQ(claimed.what, Claim::claimed) << page;
    frames.push_back(claimed.frame);
  }
  EXPECT_EQ(cache_.claim(Gfn{kAll}, request).what, Claim::full);
  std::ranges::sort(frames);
  EXPECT_EQ(std::ranges::adjacent_find(frames), frames.end());
  std::ranges::for_each(frames, [&](auto* frame) { cache_.abandon(frame, false); });
}

} // namespace
} // namespace vmemfs::test
