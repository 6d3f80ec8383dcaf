// SPDX-License-Identifier: MIT
#include "vm/memory/scratch_pool.h"

#include <gtest/gtest.h>
#include <memory>
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
    EXPECT_EQ(pool.kept(), 0U);
  }
  EXPECT_EQ(pool.kept(), ScratchPool::kept_limit());
}

} // namespace
} // namespace vmemfs
