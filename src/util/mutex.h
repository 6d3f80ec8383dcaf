// SPDX-License-Identifier: MIT
// Mutexes that say what they guard, and conditions to wait for: std::mutex, std::shared_mutex and
// std::condition_variable with the annotations of util/thread_annotations.h, at no cost.
//
//   Mutex mutex_;
//   Condition changed_;
//   std::deque<Job> jobs_ GUARDED_BY(mutex_);
//
//   const MutexLock lock{mutex_};
//   changed_.wait(mutex_, [this]() REQUIRES(mutex_) { return !jobs_.empty(); });
#pragma once

#include "util/thread_annotations.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <stop_token>
#include <utility>

namespace vmemfs {

class CAPABILITY("mutex") Mutex {
public:
  Mutex() = default;
  ~Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  [[nodiscard]] bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }

private:
  friend class Condition;
  std::mutex mutex_;
};

/// A mutex for what is read by many threads at once: held by one thread that changes it (MutexLock), or by
/// any number that only read (ReaderLock).
class CAPABILITY("mutex") SharedMutex {
public:
  SharedMutex() = default;
  ~SharedMutex() = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  void lock_shared() ACQUIRE_SHARED() { mutex_.lock_shared(); }
  void unlock_shared() RELEASE_SHARED() { mutex_.unlock_shared(); }

private:
  std::shared_mutex mutex_;
};

/// Holds a Mutex, or another class of locks, as long as it exists.
template <typename Lock> class SCOPED_CAPABILITY MutexLock {
public:
  [[nodiscard]] explicit MutexLock(Lock& lock) ACQUIRE(lock) : lock_{lock} { lock.lock(); }
  /// For a lock that try_lock() has taken.
  [[nodiscard]] MutexLock(Lock& lock, std::adopt_lock_t /*held*/) REQUIRES(lock) : lock_{lock} {}
  ~MutexLock() RELEASE() { lock_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

private:
  Lock& lock_;
};

/// The same, for a mutex that is released in between or before the end.
class SCOPED_CAPABILITY ReleasableMutexLock {
public:
  [[nodiscard]] explicit ReleasableMutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_{mutex} { mutex.lock(); }
  ~ReleasableMutexLock() RELEASE() {
    if (held_) {
      mutex_.unlock();
    }
  }
  ReleasableMutexLock(const ReleasableMutexLock&) = delete;
  ReleasableMutexLock& operator=(const ReleasableMutexLock&) = delete;

  void unlock() RELEASE() {
    held_ = false;
    mutex_.unlock();
  }
  void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }

private:
  Mutex& mutex_;
  bool held_ = true;
};

/// Holds a SharedMutex for reading, together with other readers.
class SCOPED_CAPABILITY ReaderLock {
public:
  [[nodiscard]] explicit ReaderLock(SharedMutex& mutex) ACQUIRE_SHARED(mutex) : mutex_{mutex} {
    mutex.lock_shared();
  }
  ~ReaderLock() RELEASE() { mutex_.unlock_shared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

private:
  SharedMutex& mutex_;
};

/// What threads wait for that hold a mutex; it is released while they wait. The predicate is called with the
/// mutex held and says so by REQUIRES. With a time limit, the result is that of the predicate.
class Condition {
public:
  template <typename Predicate> void wait(Mutex& mutex, Predicate holds) REQUIRES(mutex) {
    Adopted lock{mutex};
    condition_.wait(lock.std_lock, std::move(holds));
  }

  template <typename Clock, typename Duration, typename Predicate>
  bool wait_until(Mutex& mutex, std::chrono::time_point<Clock, Duration> deadline, Predicate holds)
      REQUIRES(mutex) {
    Adopted lock{mutex};
    return condition_.wait_until(lock.std_lock, deadline, std::move(holds));
  }

  template <typename Rep, typename Period, typename Predicate>
  bool wait_for(Mutex& mutex, std::chrono::duration<Rep, Period> limit, Predicate holds) REQUIRES(mutex) {
    Adopted lock{mutex};
    return condition_.wait_for(lock.std_lock, limit, std::move(holds));
  }

  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

private:
  /// A mutex that is held, as the standard's function takes it. The caller holds it afterwards too.
  struct Adopted {
    explicit Adopted(Mutex& mutex) : std_lock{mutex.mutex_, std::adopt_lock} {}
    ~Adopted() { std_lock.release(); }
    Adopted(const Adopted&) = delete;
    Adopted& operator=(const Adopted&) = delete;
    std::unique_lock<std::mutex> std_lock;
  };

  std::condition_variable condition_;
};

/// A condition that also ends waiting when the thread is to stop. Costs more than a Condition.
class StoppableCondition {
public:
  template <typename Predicate> bool wait(Mutex& mutex, const std::stop_token& stop, Predicate holds)
      REQUIRES(mutex) {
    return condition_.wait(mutex, stop, std::move(holds));
  }

  template <typename Clock, typename Duration, typename Predicate>
  bool wait_until(Mutex& mutex, const std::stop_token& stop,
                  std::chrono::time_point<Clock, Duration> deadline, Predicate holds) REQUIRES(mutex) {
    return condition_.wait_until(mutex, stop, deadline, std::move(holds));
  }

  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

private:
  std::condition_variable_any condition_;
};

} // namespace vmemfs
