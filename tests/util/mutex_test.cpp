// SPDX-License-Identifier: MIT
// What clang checks of locks when it compiles is in annotations/.
#include "util/mutex.h"
#include "util/timed_lock.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>
#include <shared_mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace vmemfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

static_assert(sizeof(Mutex) == sizeof(std::mutex));
static_assert(sizeof(SharedMutex) == sizeof(std::shared_mutex));
static_assert(sizeof(Condition) == sizeof(std::condition_variable));
static_assert(sizeof(MutexLock<Mutex>) == sizeof(std::lock_guard<std::mutex>));

/// True if no thread holds it.
bool is_free(Mutex& mutex) {
  bool free = false;
  std::thread{[&] {
    if (mutex.try_lock()) {
      const MutexLock lock{mutex, std::adopt_lock};
      free = true;
    }
  }}.join();
  return free;
}

bool is_free(TimedLock& timed) {
  if (!timed.try_lock_until(steady_clock::now())) {
    return false;
  }
  timed.unlock();
  return true;
}

TEST(Mutex, LockObjectEnds_MutexIsFree) {
  Mutex mutex;
  {
    const MutexLock lock{mutex};
    EXPECT_FALSE(is_free(mutex));
  }
  EXPECT_TRUE(is_free(mutex));
}

TEST(Mutex, ReleasedInBetween_IsHeldAgainAndFreeAtTheEnd) {
  Mutex mutex;
  {
    ReleasableMutexLock lock{mutex};
    EXPECT_FALSE(is_free(mutex));
    lock.unlock();
    EXPECT_TRUE(is_free(mutex));
    lock.lock();
    EXPECT_FALSE(is_free(mutex));
  }
  EXPECT_TRUE(is_free(mutex));
}

TEST(Mutex, ReleasedBeforeTheEnd_IsNotReleasedTwice) {
  Mutex mutex;
  {
    ReleasableMutexLock lock{mutex};
    lock.unlock();
  }
  EXPECT_TRUE(is_free(mutex));
}

constexpr std::chrono::seconds kMaxWait{60};

TEST(SharedMutex, TwoReaders_HoldItAtTheSameTime) {
  SharedMutex mutex;
  std::atomic<int> readers{0};
  const auto read = [&] {
    const ReaderLock lock{mutex};
    ++readers;
    for (const auto begin = steady_clock::now(); readers < 2 && steady_clock::now() - begin < kMaxWait;) {
      std::this_thread::yield();
    }
    EXPECT_EQ(readers, 2);
  };
  std::jthread other{read};
  read();
}

TEST(SharedMutex, ReaderHoldsIt_WriterWaitsUntilItEnds) {
  SharedMutex mutex;
  std::atomic<bool> read{false};
  std::jthread writer;
  {
    const ReaderLock lock{mutex};
    writer = std::jthread{[&] {
      const MutexLock changing{mutex};
      EXPECT_TRUE(read);
    }};
    std::this_thread::sleep_for(milliseconds{20});
    read = true;
  }
}

TEST(SharedMutex, WriterHoldsIt_ReaderAndWriterWaitUntilItEnds) {
  SharedMutex mutex;
  std::atomic<bool> written{false};
  std::jthread reader;
  std::jthread writer;
  {
    const MutexLock lock{mutex};
    reader = std::jthread{[&] {
      const ReaderLock reading{mutex};
      EXPECT_TRUE(written);
    }};
    writer = std::jthread{[&] {
      const MutexLock changing{mutex};
      EXPECT_TRUE(written);
    }};
    std::this_thread::sleep_for(milliseconds{20});
    written = true;
  }
}

TEST(Condition, WaitingThread_IsWokenByChange) {
  Mutex mutex;
  Condition changed;
  bool done = false;
  std::jthread other{[&] {
    const MutexLock lock{mutex};
    done = true;
    changed.notify_all();
  }};
  {
    const MutexLock lock{mutex};
    changed.wait(mutex, [&] { return done; });
    EXPECT_TRUE(done);
    EXPECT_FALSE(is_free(mutex)); // held again after waiting
  }
  EXPECT_TRUE(is_free(mutex));
}

TEST(Condition, LimitPasses_ReturnsFalseWithMutexHeld) {
  Mutex mutex;
  Condition changed;
  const MutexLock lock{mutex};
  const auto begin = steady_clock::now();
  EXPECT_FALSE(changed.wait_for(mutex, milliseconds{20}, [] { return false; }));
  EXPECT_FALSE(changed.wait_until(mutex, begin + milliseconds{40}, [] { return false; }));
  EXPECT_GE(steady_clock::now() - begin, milliseconds{40});
  EXPECT_FALSE(is_free(mutex));
}

TEST(StoppableCondition, StopRequested_WaitEnds) {
  Mutex mutex;
  StoppableCondition changed;
  std::stop_source source;
  std::jthread other{[&] { source.request_stop(); }};
  const MutexLock lock{mutex};
  EXPECT_FALSE(changed.wait(mutex, source.get_token(), [] { return false; }));
}

TEST(TimedLock, HeldByOther_TimesOut) {
  TimedLock timed;
  const MutexLock held{timed};
  bool taken = true;
  std::thread{[&] {
    const auto begin = steady_clock::now();
    taken = is_free(timed);
    if (timed.try_lock_until(begin + milliseconds{20})) {
      timed.unlock();
      taken = true;
    }
    EXPECT_GE(steady_clock::now() - begin, milliseconds{20});
  }}.join();
  EXPECT_FALSE(taken);
}

TEST(TimedLock, OwnerMoved_LockIsHeldUntilLastOwnerEnds) {
  TimedLock timed;
  {
    TimedLock::Owner last;
    {
      TimedLock::Owner first{timed, steady_clock::now() + milliseconds{1000}};
      ASSERT_TRUE(first.owns_lock());
      last = std::move(first);
    }
    EXPECT_FALSE(is_free(timed));
  }
  EXPECT_TRUE(is_free(timed));
}

} // namespace
} // namespace vmemfs
