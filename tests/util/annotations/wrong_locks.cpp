// SPDX-License-Identifier: MIT
// Mistakes with locks that clang has to find. Never built: scripts/check_locks has clang compare its errors
// with the comments here.
#include "util/mutex.h"
#include "util/timed_lock.h"

#include <chrono>
#include <stop_token>

namespace vmemfs {
namespace {

class Counter {
public:
  void right() EXCLUDES(mutex_) {
    ReleasableMutexLock lock{mutex_};
    changed_.wait(mutex_, [this]() REQUIRES(mutex_) { return count_ > 0; });
    lock.unlock();
    lock.lock();
    add();
  }

  bool right_without_waiting() {
    if (!mutex_.try_lock()) {
      return false;
    }
    const MutexLock lock{mutex_, std::adopt_lock};
    return count_ > 0;
  }

  int reads() { return count_; } // expected-error {{reading variable 'count_' requires holding mutex}}

  void writes() { count_ = 1; } // expected-error {{writing variable 'count_' requires holding mutex}}

  void calls() { add(); } // expected-error {{calling function 'add' requires holding mutex}}

  void locks_twice() {
    const MutexLock lock{mutex_};  // expected-note {{mutex acquired here}}
    const MutexLock again{mutex_}; // expected-error {{acquiring mutex 'mutex_' that is already held}}
  }

  void calls_what_locks() {
    const MutexLock lock{mutex_};
    right(); // expected-error {{cannot call function 'right' while mutex 'mutex_' is held}}
  }

  void does_not_unlock() {
    mutex_.lock(); // expected-note {{mutex acquired here}}
  }                // expected-error {{mutex 'mutex_' is still held at the end of function}}

  void uses_after_unlock() {
    ReleasableMutexLock lock{mutex_};
    lock.unlock();
    ++count_; // expected-error {{writing variable 'count_' requires holding mutex}}
  }

  void adopts_what_it_does_not_hold() {
    // expected-error@+1 {{calling function 'MutexLock' requires holding mutex 'mutex_'}}
    const MutexLock lock{mutex_, std::adopt_lock};
  }

  void waits_without_lock() {
    // expected-error@+1 {{calling function 'wait<}}
    changed_.wait(mutex_, [this]() REQUIRES(mutex_) { return count_ > 0; });
  }

  void waits_for_what_it_may_not_read() {
    const MutexLock lock{mutex_};
    // expected-error@+1 {{reading variable 'count_' requires holding mutex}}
    changed_.wait_for(mutex_, std::chrono::seconds{1}, [this] { return count_ > 0; });
  }

  void stoppable_wait_without_lock(const std::stop_token& stop) {
    stoppable_.wait(mutex_, stop, [] { return true; }); // expected-error {{calling function 'wait<}}
  }

private:
  void add() REQUIRES(mutex_) { ++count_; }

  Mutex mutex_;
  Condition changed_;
  StoppableCondition stoppable_;
  int count_ GUARDED_BY(mutex_) = 0;
};

class Session {
public:
  void right(std::chrono::steady_clock::time_point deadline) {
    if (lock_.try_lock_until(deadline)) {
      const MutexLock held{lock_, std::adopt_lock};
      const MutexLock inner{inner_};
      used_ = true;
    }
  }

  void right_with_owner() {
    const TimedLock::Owner owner{lock_};
    lock_.assert_held();
    used_ = true;
  }

  void ignores_time_out(std::chrono::steady_clock::time_point deadline) {
    static_cast<void>(lock_.try_lock_until(deadline));
    used_ = true; // expected-error {{writing variable 'used_' requires holding lock 'lock_'}}
  }

  void takes_in_wrong_order() {
    const MutexLock inner{inner_};
    const MutexLock held{lock_}; // expected-error {{lock 'lock_' must be acquired before 'inner_'}}
  }

private:
  TimedLock lock_ ACQUIRED_BEFORE(inner_);
  Mutex inner_;
  bool used_ GUARDED_BY(lock_) = false;
};

class Memory {
public:
  int right() {
    const ReaderLock lock{mutex_};
    return size();
  }

  void right_to_write() {
    const MutexLock lock{mutex_};
    resize(size() + 1);
  }

  void writes_as_a_reader() {
    const ReaderLock lock{mutex_};
    size_ = 1; // expected-error {{writing variable 'size_' requires holding mutex 'mutex_' exclusively}}
  }

  void calls_a_writer_as_a_reader() {
    const ReaderLock lock{mutex_};
    resize(1); // expected-error {{calling function 'resize' requires holding mutex 'mutex_' exclusively}}
  }

  int calls() { return size(); } // expected-error {{calling function 'size' requires holding mutex}}

  void does_not_unlock() {
    mutex_.lock_shared(); // expected-note {{mutex acquired here}}
  }                       // expected-error {{mutex 'mutex_' is still held at the end of function}}

private:
  int size() REQUIRES_SHARED(mutex_) { return size_; }
  void resize(int size) REQUIRES(mutex_) { size_ = size; }

  SharedMutex mutex_;
  int size_ GUARDED_BY(mutex_) = 0;
};

} // namespace

void use() {
  Counter counter;
  counter.right();
  Session session;
  session.right({});
  Memory memory;
  static_cast<void>(memory.right());
}

} // namespace vmemfs
