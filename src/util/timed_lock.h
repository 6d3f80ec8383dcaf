// SPDX-License-Identifier: MIT
// Mutex that can be locked with a time limit.
//
// Replaces std::timed_mutex, which ThreadSanitizer (GCC 12) does not support: it ignores
// pthread_mutex_clocklock() and then reports false races and unlocks. Meets the standard's BasicLockable; for
// MutexLock, and for TimedLock::Owner.
#pragma once

#include "util/limited_wait.h"
#include "util/mutex.h"

#include <chrono>
#include <mutex>

namespace vmemfs {

class CAPABILITY("lock") TimedLock {
public:
  /// Holds the lock, and can leave the function that took it. clang does not follow it: call assert_held()
  /// where something requires the lock.
  using Owner = std::unique_lock<TimedLock>;

  void lock() ACQUIRE() {
    const MutexLock guard{mutex_};
    released_.wait(mutex_, [this]() REQUIRES(mutex_) { return !taken_; });
    taken_ = true;
  }

  /// The WorkLimit of the thread ends the wait too.
  bool try_lock_until(std::chrono::steady_clock::time_point deadline) TRY_ACQUIRE(true) {
    const MutexLock guard{mutex_};
    if (!wait_within_limit(released_, mutex_, deadline, [this]() REQUIRES(mutex_) { return !taken_; })) {
      return false;
    }
    taken_ = true;
    return true;
  }

  void unlock() RELEASE() {
    {
      const MutexLock guard{mutex_};
      taken_ = false;
    }
    released_.notify_one();
  }

  void assert_held() const ASSERT_CAPABILITY(this) {}

private:
  Mutex mutex_;
  Condition released_;
  bool taken_ GUARDED_BY(mutex_) = false;
};

} // namespace vmemfs
