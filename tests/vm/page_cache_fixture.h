// SPDX-License-Identifier: MIT
// Fixture with pages whose content follows from their number and epoch, and a cache with a simulated clock.
#pragma once

#include "vm/cache/page_cache.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <sys/mman.h>
#include <vector>

namespace vmemfs::test {

using Claim = PageCache::Claim;

constexpr std::uint64_t kEpoch = 5;

using Words = std::array<std::uint64_t, kPageSize / 8>;

/// Content of a page: follows from its number and the epoch; no two pages have a word in common.
inline Words words_of(Gfn gfn, std::uint64_t epoch) {
  Words words;
  std::uint64_t word = (gfn.value() << 40U) + (epoch << 10U);
  for (std::uint64_t& each : words) {
    each = word++;
  }
  return words;
}

inline void fill(PageCache::Frame* frame, Gfn gfn, std::uint64_t epoch) {
  const Words words = words_of(gfn, epoch);
  std::memcpy(PageCache::bytes(frame).data(), words.data(), kPageSize);
}

inline bool is_filled(PageCache::Frame* frame, Gfn gfn, std::uint64_t epoch) {
  const Words words = words_of(gfn, epoch);
  return std::memcmp(PageCache::bytes(frame).data(), words.data(), kPageSize) == 0;
}

/// Whether the frame's memory is resident.
inline bool is_resident(PageCache::Frame* frame) {
  unsigned char there = 0;
  EXPECT_EQ(::mincore(PageCache::bytes(frame).data(), kPageSize, &there), 0);
  return (there & 1U) != 0;
}

/// A cache with a simulated clock that advances by one per step.
class PageCacheTest : public testing::Test {
protected:
  [[nodiscard]] PageRequest request(std::uint64_t epoch = kEpoch) { return {epoch, 0, ++now_}; }

  /// Claims the page, which must be possible, and publishes it.
  void load(std::uint64_t page, std::uint64_t epoch = kEpoch) {
    if (PageCache::Frame* const frame = load_pinned(page, epoch)) {
      cache_.unpin(frame);
    }
  }
  void load_all(std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t page = begin; page < end; ++page) {
      load(page);
    }
  }
  PageCache::Frame* load_pinned(std::uint64_t page, std::uint64_t epoch = kEpoch) {
    PageCache::Frame* const frame = claim_new(page, epoch);
    if (frame != nullptr) {
      cache_.publish(frame, {epoch, now_}, true);
    }
    return frame;
  }
  /// Claims and fills the page without publishing it.
  PageCache::Frame* claim_new(std::uint64_t page, std::uint64_t epoch = kEpoch) {
    const auto claimed = cache_.claim(Gfn{page}, request(epoch));
    EXPECT_EQ(claimed.what, Claim::claimed) << page;
    if (claimed.what != Claim::claimed) {
      return nullptr;
    }
    last_used_[page] = now_;
    fill(claimed.frame, Gfn{page}, epoch);
    return claimed.frame;
  }

  /// Makes it the most recently used page.
  void touch(std::uint64_t page) {
    EXPECT_TRUE(hit(page, request())) << page;
    last_used_[page] = now_;
  }
  /// Whether the page is cached. Does not count as a use.
  [[nodiscard]] bool has(std::uint64_t page, std::uint64_t epoch = kEpoch) {
    return hit(page, {epoch, 0, last_used_[page]});
  }
  [[nodiscard]] bool hit(std::uint64_t page, const PageRequest& how) {
    PageCache::Frame* const frame = cache_.find(Gfn{page}, how);
    if (frame == nullptr) {
      return false;
    }
    EXPECT_TRUE(is_filled(frame, Gfn{page}, how.epoch)) << page;
    cache_.unpin(frame);
    return true;
  }
  [[nodiscard]] std::vector<std::uint64_t> missing(std::uint64_t begin, std::uint64_t end) {
    std::vector<std::uint64_t> pages;
    for (std::uint64_t page = begin; page < end; ++page) {
      if (!has(page)) {
        pages.push_back(page);
      }
    }
    return pages;
  }

  [[nodiscard]] Claim claim_and_abandon(std::uint64_t page) {
    const auto claimed = cache_.claim(Gfn{page}, request());
    if (claimed.what == Claim::claimed) {
      cache_.abandon(claimed.frame, false);
    } else if (claimed.what == Claim::hit) {
      cache_.unpin(claimed.frame);
    }
    return claimed.what;
  }

  [[nodiscard]] std::uint64_t used_pages() const { return cache_.stats().used_bytes / kPageSize; }

  static constexpr std::uint64_t kPages = 16;
  PageCache cache_{kPages * kPageSize};
  std::int64_t now_ = 100;
  std::map<std::uint64_t, std::int64_t> last_used_;
};

} // namespace vmemfs::test
