// SPDX-License-Identifier: MIT
// Mutex that can be locked with a time limit.
//
// Replaces std::timed_mutex, which ThreadSanitizer (GCC 12) does not support: it ignores
// pthread_mutex_clocklock() and then reports false races and unlocks. Meets the standard's BasicLockable; for
// std::unique_lock and std::scoped_lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace vmemfs {

class TimedLock {
public:
  void lock() {
    std::unique_lock guard{mutex_};
    released_.wait(guard, [this] { return !taken_; });
    taken_ = true;
  }

  bool try_lock_until(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock guard{mutex_};
    if (!released_.wait_until(guard, deadline, [this] { return !taken_; })) {
      return false;
    }
    taken_ = true;
    return true;
  }

  void unlock() {
    {
      const std::scoped_lock guard{mutex_};
      taken_ = false;
    }
    released_.notify_one();
  }

private:
  std::mutex mutex_;
  std::condition_variable released_;
  bool taken_ = false;
};

} // namespace vmemfs
