// SPDX-License-Identifier: MIT
// Listings of directories, each as it was when the directory was opened.
#pragma once

#include "fs/tree/tree.h"
#include "util/mutex.h"

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace vmemfs {

/// Thread-safe.
class OpenDirectories {
public:
  using Listing = std::vector<Tree::Listed>;

  /// The number under which the kernel knows it, valid until close(); one that was never closed goes with
  /// this object: the kernel closes none when a mount ends.
  [[nodiscard]] std::uint64_t keep(Listing listing) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    listings_.emplace(++last_, std::make_shared<const Listing>(std::move(listing)));
    return last_;
  }

  /// `number` must be valid.
  [[nodiscard]] std::shared_ptr<const Listing> get(std::uint64_t number) const EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    return listings_.at(number);
  }

  void close(std::uint64_t number) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    listings_.erase(number);
  }

private:
  mutable Mutex mutex_; ///< leaf
  std::uint64_t last_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<const Listing>> listings_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
