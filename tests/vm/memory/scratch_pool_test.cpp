// SPDX-License-Identifier: MIT
#include "vm/memory/scratch_pool.h"

#include <algorithm>
#include <cstddef>
#include <gtest/gtest.h>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

TEST(ScratchPool, ConcurrentReads_HaveOwnBuffers_LastIsReused) {
  ScratchPool pool;
  const ReadScratch* last = nullptr;
  {
    ScratchPool::Lease first{pool};
    ScratchPool::Lease second{pool};
    EXPECT_NE(&*first, &*second);
    last = &*first; // returned last, as it was taken first
  }
  ScratchPool::Lease again{pool};
  EXPECT_EQ(&*again, last);
}

TEST(ScratchPool, ManyReadsAtOnce_End_OnlyTheLimitIsKept) {
  ScratchPool pool;
  {
    std::vector<std::unique_ptr<ScratchPool::Lease>> leases;
    for (std::size_t i = 0; i < ScratchPool::kept_limit() + 5; ++i) {
      leases.push_back(std::make_unique<ScratchPool::Lease>(pool));
    }
    EXPECT_LE(pool.kept(), 1U); // they are made in pairs
  }
  EXPECT_EQ(pool.kept(), ScratchPool::kept_limit());
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
