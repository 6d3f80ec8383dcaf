// SPDX-License-Identifier: MIT
// The choice between the ways of prefetching.
#include "vm/prefetch/prefetch_limits.h"
#include "vm/prefetch/prefetch_window.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kCache = 64 * kMiB;

TEST(PrefetchLimits, CostOfCalls_DecidesTheWay) {
  const struct {
    ReadCost cost;
    std::uint64_t cache;
    std::size_t with_read;
    std::size_t in_background;
  } cases[] = {
      {{}, kCache, 0, 0},                                            // costs nothing
      {{microseconds{100}, microseconds{10}}, kCache, 0, 0},         // pages cost as much as the call
      {{microseconds{100}, microseconds{1}}, kCache, 100 * 4096, 0}, // 100 pages as much as the call
      {{microseconds{500}, microseconds{0}}, kCache, 2 * kMiB, 0},   // pages cost nothing
      {{microseconds{500}, microseconds{0}}, 4 * kMiB, kMiB, 0},     // a quarter of the cache
      {{milliseconds{20}, microseconds{1}}, kCache, 0, 4 * kMiB},    // long calls
      {{milliseconds{20}, microseconds{1}}, 8 * kMiB, 0, 2 * kMiB},  // long calls, small cache
      {{milliseconds{20}, milliseconds{10}}, kCache, 0, 0},          // long calls, expensive pages
  };
  for (const auto& [cost, cache, with_read, in_background] : cases) {
    PrefetchLimits limits;
    limits.update({.mode = CacheMode::on}, cost, cache);
    EXPECT_EQ(limits.with_read(), with_read) << cost.call.count() << " " << cost.page.count() << " " << cache;
    EXPECT_EQ(limits.in_background(), in_background)
        << cost.call.count() << " " << cost.page.count() << " " << cache;
  }
}

TEST(PrefetchLimits, BlockOfAnIsolatedRead_OnlyWithLongCallsAndCheapPages) {
  const struct {
    ReadCost cost;
    std::uint64_t cache;
    std::size_t block;
  } cases[] = {
      {{microseconds{500}, microseconds{0}}, kCache, 0},       // no long calls
      {{milliseconds{1}, microseconds{1}}, kCache, 64 << 10},  // 16 pages cost a 62nd
      {{milliseconds{1}, microseconds{15}}, kCache, 64 << 10}, // just a quarter
      {{milliseconds{1}, microseconds{16}}, kCache, 0},        // more
      {{milliseconds{20}, microseconds{1}}, 128 << 10, 0},     // more than a quarter of the cache
  };
  for (const auto& [cost, cache, block] : cases) {
    PrefetchLimits limits;
    limits.update({.mode = CacheMode::on}, cost, cache);
    EXPECT_EQ(limits.block(), block) << cost.call.count() << " " << cost.page.count() << " " << cache;
  }
}

TEST(PrefetchWindow, IsolatedRead_GetsTheRestOfABlock) {
  ReadAhead reads;
  const PrefetchWindow window{&reads, 0, 64 << 10};
  EXPECT_EQ(window.take(4096), 60U << 10U);
  EXPECT_EQ(window.take(64 << 10), 0U);
  EXPECT_EQ(window.take(1 << 20), 0U);
  EXPECT_EQ((PrefetchWindow{nullptr, 0, 64 << 10}.take(8)), 0U);
  EXPECT_EQ((PrefetchWindow{&reads, 0, 0}.take(8)), 0U);
}

TEST(PrefetchLimits, WithoutCache_OnlyIfTheCacheIsAutomatic) {
  PrefetchLimits limits;
  for (const CacheMode mode : {CacheMode::automatic, CacheMode::on, CacheMode::off}) {
    limits.update({.mode = mode}, {}, 0);
    EXPECT_EQ(limits.without_cache(), mode == CacheMode::automatic);
  }
}

TEST(PrefetchWindow, SequentialReads_GrowToTheMax) {
  ReadAhead reads;
  const PrefetchWindow window{&reads, 3 * ReadAhead::kMinWindow};
  reads.note(0, 4096);
  EXPECT_EQ(window.take(4096), 0U);
  reads.note(4096, 4096);
  EXPECT_EQ(window.take(4096), ReadAhead::kMinWindow);
  EXPECT_EQ(window.take(4096), 2 * ReadAhead::kMinWindow);
  EXPECT_EQ(window.take(4096), 3 * ReadAhead::kMinWindow);
  reads.note(0, 4096);
  EXPECT_EQ(window.take(4096), 0U);
  EXPECT_EQ((PrefetchWindow{}.take(4096)), 0U);
}

} // namespace
} // namespace vmemfs
