// SPDX-License-Identifier: MIT
#include "vm/memory/scratch_pool.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace vmemfs {

std::size_t ScratchPool::kept_limit() {
  constexpr std::size_t kMinKept = 8;
  static const std::size_t kLimit = std::max<std::size_t>(kMinKept, std::thread::hardware_concurrency());
  return kLimit;
}

std::size_t ScratchPool::Shelf::kept() const {
  const MutexLock lock{mutex_};
  return free_.size();
}

std::unique_ptr<ReadScratch> ScratchPool::Shelf::take() {
  {
    const MutexLock lock{mutex_};
    if (!free_.empty()) {
      auto scratch = std::move(free_.back());
      free_.pop_back();
      return scratch;
    }
  }
  if (read_size_ < ReadScratch::kStaging) {
    return std::make_unique<ReadScratch>(read_size_);
  }
  auto [first, second] = ReadScratch::two();
  give_back(std::make_unique<ReadScratch>(std::move(second)));
  return std::make_unique<ReadScratch>(std::move(first));
}

void ScratchPool::Shelf::give_back(std::unique_ptr<ReadScratch> scratch) {
  scratch->release();
  const MutexLock lock{mutex_}; // ends before `scratch`: a surplus buffer is freed without it
  if (free_.size() < limit_) {
    free_.push_back(std::move(scratch));
  }
}

} // namespace vmemfs
