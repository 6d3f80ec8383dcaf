// SPDX-License-Identifier: MIT
#include "vm/memory/scratch_pool.h"

#include <algorithm>
#include <cstddef>
#include <gtest/gtest.h>
#include <iterator>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

TEST(ScratchPool, ConcurrentReads_HaveOwnBuffers_LastIsReused) {
  ScratchPool pool;
  const ReadScratch* last = nullptr;
  {
    ScratchPool::Lease first{pool, ReadScratch::kStaging};
    ScratchPool::Lease second{pool, ReadScratch::kStaging};
    EXPECT_NE(&*first, &*second);
    last = &*first; // returned last, as it was taken first
  }
  ScratchPool::Lease again{pool, ReadScratch::kStaging};
  EXPECT_EQ(&*again, last);
}

TEST(ScratchPool, ManyReadsAtOnce_End_OnlyTheLimitIsKept) {
  ScratchPool pool;
  {
    std::vector<std::unique_ptr<ScratchPool::Lease>> leases;
    for (std::size_t i = 0; i < ScratchPool::kept_limit() + 5; ++i) {
      leases.push_back(std::make_unique<ScratchPool::Lease>(pool, ReadScratch::kStaging));
    }
    EXPECT_LE(pool.kept(), 1U); // they are made in pairs
  }
  EXPECT_EQ(pool.kept(), ScratchPool::kept_limit());
}

// A thread that has answered a read gives its buffer back when it runs again: many may be away at once.
TEST(ScratchPool, SmallReads_NeverWaitForABufferToBeMade) {
  constexpr std::size_t kAtOnce = 100;
  ScratchPool pool;
  const auto all_at_once = [&] {
    std::vector<std::unique_ptr<ScratchPool::Lease>> leases;
    std::set<const ReadScratch*> buffers;
    for (std::size_t size = 1; size <= kAtOnce; ++size) {
      leases.push_back(std::make_unique<ScratchPool::Lease>(pool, size));
      buffers.insert(&**leases.back());
      EXPECT_EQ((**leases.back()).capacity(), ScratchPool::kSmallRead);
    }
    return buffers;
  };
  const auto before = all_at_once();
  EXPECT_EQ(before.size(), kAtOnce);
  EXPECT_EQ(all_at_once(), before);
  EXPECT_EQ(pool.kept(), 0U);
  EXPECT_EQ((*ScratchPool::Lease{pool, ScratchPool::kSmallRead + 1}).capacity(), ReadScratch::kStaging);
}

TEST(ScratchPool, TwoOfAPair_UseBytesOfTheirOwn) {
  auto [first, second] = ReadScratch::two();
  first.clear(nullptr);
  second.clear(nullptr);
  const auto one = first.take_staging(ReadScratch::kStaging);
  const auto other = second.take_staging(ReadScratch::kStaging);
  std::ranges::fill(one, std::byte{1});
  std::ranges::fill(other, std::byte{2});
  EXPECT_EQ(std::ranges::count(one, std::byte{1}), std::ssize(one));
  const auto rest = std::move(second); // outlives the other one and its memory
  { const auto gone = std::move(first); }
  EXPECT_EQ(std::ranges::count(other, std::byte{2}), std::ssize(other));
}

} // namespace
} // namespace vmemfs
