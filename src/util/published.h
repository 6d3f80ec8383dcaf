// SPDX-License-Identifier: MIT
// Shared, immutable value that is replaced rarely and read often.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace vmemfs {

/// Thread-safe. The lock is held only to copy a pointer. (std::atomic<std::shared_ptr> of libstdc++ 12
/// spins in much the same way, and the thread sanitizer does not support it.)
template <typename T> class Published {
public:
  [[nodiscard]] std::shared_ptr<const T> load() const {
    const std::scoped_lock lock{mutex_};
    return value_;
  }

  void store(std::shared_ptr<const T> value) {
    const std::scoped_lock lock{mutex_};
    value_.swap(value); // the former value is destroyed after the lock is released
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;
};

} // namespace vmemfs
