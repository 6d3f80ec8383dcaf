#include "vm/scratch_pool.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

TEST(ScratchPool, ReadsAtOnceHaveBuffersOfTheirOwnAndTheLastOneIsUsedAgain) {
  ScratchPool pool;
  const ReadScratch* last = nullptr;
  {
    ScratchPool::Lease first{pool};
    ScratchPool::Lease second{pool};
    EXPECT_NE(&*first, &*second);
    last = &*first; // ends last, as it began first
  }
  ScratchPool::Lease again{pool};
  EXPECT_EQ(&*again, last);
}

} // namespace
} // namespace vmemfs
