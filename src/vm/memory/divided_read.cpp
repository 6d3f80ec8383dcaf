// SPDX-License-Identifier: MIT
#include "vm/memory/divided_read.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace vmemfs {
namespace {

/// Pieces that a thread takes at once, and bytes after which it takes no more.
constexpr std::size_t kMaxTaken = 64;
/// A piece costs as much as these bytes at least: to find its page takes as long as to copy it.
constexpr std::size_t kMinPiece = 4096;
constexpr std::size_t kMaxTakenBytes = std::size_t{256} << 10U;

bool pays(const Driver& driver, std::span<const ReadPiece> pieces) {
  constexpr std::chrono::microseconds kMaxCall{20};
  static const bool kManyCpus = std::thread::hardware_concurrency() > 1;
  if (!kManyCpus || pieces.size() == 1 || driver.read_cost().call > kMaxCall) {
    return false;
  }
  std::size_t bytes = 0;
  for (const ReadPiece& piece : pieces) {
    bytes += std::max(piece.buffer.size(), kMinPiece);
    if (bytes >= DividedRead::kMinBytes) {
      return true;
    }
  }
  return false;
}

} // namespace

void DividedRead::read(Driver& driver, const VmJobs& jobs, std::span<ReadPiece> pieces) {
  if (!pays(driver, pieces)) {
    driver.read(pieces);
    return;
  }
  const std::shared_ptr<DividedRead> divided{new DividedRead{driver, pieces}};
  jobs.post_prefetch([divided] { divided->work(); });
  divided->work();
  divided->wait();
}

std::span<ReadPiece> DividedRead::take() {
  const MutexLock lock{mutex_};
  std::size_t count = 0;
  for (std::size_t bytes = 0; count < left_.size() && count < kMaxTaken && bytes < kMaxTakenBytes; ++count) {
    bytes += left_[count].buffer.size();
  }
  const auto taken = left_.first(count);
  left_ = left_.subspan(count);
  reading_ += taken.empty() ? 0 : 1;
  return taken;
}

void DividedRead::work() {
  for (auto taken = take(); !taken.empty(); taken = take()) {
    driver_.read(taken);
    const MutexLock lock{mutex_};
    if (--reading_ == 0) {
      done_.notify_all();
    }
  }
}

void DividedRead::wait() {
  const MutexLock lock{mutex_};
  done_.wait(mutex_, [this]() REQUIRES(mutex_) { return reading_ == 0; });
}

} // namespace vmemfs
