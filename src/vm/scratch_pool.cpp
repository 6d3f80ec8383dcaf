// SPDX-License-Identifier: MIT
#include "vm/scratch_pool.h"

#include <utility>

namespace vmemfs {

std::unique_ptr<ReadScratch> ScratchPool::take() {
  {
    const std::scoped_lock lock{mutex_};
    if (!free_.empty()) {
      auto scratch = std::move(free_.back());
      free_.pop_back();
      return scratch;
    }
  }
  return std::make_unique<ReadScratch>();
}

void ScratchPool::give_back(std::unique_ptr<ReadScratch> scratch) {
  scratch->release();
  const std::scoped_lock lock{mutex_};
  free_.push_back(std::move(scratch));
}

} // namespace vmemfs
