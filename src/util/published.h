// A shared, immutable value that is replaced now and then and read all the time.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace vmemfs {

/// Thread-safe. The lock is held for the copy of a pointer only. (std::atomic<std::shared_ptr> of
/// libstdc++ 12 spins in much the same way, and the thread sanitizer does not understand it.)
template <typename T> class Published {
public:
  [[nodiscard]] std::shared_ptr<const T> load() const {
    const std::scoped_lock lock{mutex_};
    return value_;
  }

  void store(std::shared_ptr<const T> value) {
    const std::scoped_lock lock{mutex_};
    value_.swap(value); // the old value ends after the lock is let go
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> value_;
};

} // namespace vmemfs
