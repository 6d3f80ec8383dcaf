// SPDX-License-Identifier: MIT
#include "vm/scratch_pool.h"

#include <gtest/gtest.h>

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

} // namespace
} // namespace vmemfs
