// SPDX-License-Identifier: MIT
// Shared, immutable value that is replaced rarely and read often.
#pragma once

#include "util/mutex.h"

#include <memory>
#include <utility>

namespace vmemfs {

/// Thread-safe. The lock is held only to copy a pointer. (std::atomic<std::shared_ptr> of libstdc++ 12
/// spins in much the same way, and the thread sanitizer does not support it.)
template <typename T> class Published {
public:
  [[nodiscard]] std::shared_ptr<const T> load() const {
    const MutexLock lock{mutex_};
    return value_;
  }

  void store(std::shared_ptr<const T> value) {
    const MutexLock lock{mutex_};
    value_.swap(value); // the former value is destroyed after the lock is released
  }

private:
  mutable Mutex mutex_;
  std::shared_ptr<const T> value_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
