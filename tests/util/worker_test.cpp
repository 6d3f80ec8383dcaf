// SPDX-License-Identifier: MIT
#include "support/files.h"
#include "util/worker.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <future>
#include <gtest/gtest.h>
#include <iterator>
#include <thread>
#include <vector>

namespace vmemfs {
namespace {

TEST(Worker, OneThread_RunsJobsInOrder) {
  std::vector<int> order;
  std::promise<void> done;
  Worker worker;
  for (int i = 0; i < 100; ++i) {
    worker.post([&order, i] { order.push_back(i); });
  }
  worker.post([&done] { done.set_value(); });
  done.get_future().wait();
  ASSERT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(Worker, Stop_DropsQueuedJobs) {
  std::promise<void> begun;
  std::promise<void> release;
  std::atomic<int> ran = 0;
  {
    Worker worker;
    worker.post([&] {
      begun.set_value();
      release.get_future().wait();
      ++ran;
    });
    worker.post([&] { ++ran; });
    begun.get_future().wait();
    // Released only when the destructor has begun; a later moment does no harm.
    static_cast<void>(std::async(std::launch::async, [&] { release.set_value(); }));
  }
  EXPECT_GE(ran, 1);
}

TEST(Worker, AllThreadsHaveAJob_StartsAnother) {
  constexpr unsigned kMax = 5;
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::atomic<unsigned> running = 0;
  Worker worker{1, kMax};
  for (unsigned i = 0; i < 2 * kMax; ++i) {
    worker.post([&running, released] {
      ++running;
      released.wait();
    });
  }
  while (running < kMax) {
    std::this_thread::yield();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds{50});
  EXPECT_EQ(running, kMax);
  release.set_value();
}

TEST(Worker, MoreThreadsThanNeeded_EndWhenIdle) {
  const auto threads = [] {
    const std::filesystem::directory_iterator tasks{"/proc/self/task"};
    return std::distance(begin(tasks), end(tasks));
  };
  constexpr int kMax = 5;
  Worker worker{1, kMax};
  const auto with_one = threads();          // a sanitizer has one more from the first thread on
  for (int round = 0; round < 2; ++round) { // what has ended starts again
    std::promise<void> release;
    const std::shared_future<void> released = release.get_future().share();
    std::atomic<int> running = 0;
    for (int i = 0; i < kMax; ++i) {
      worker.post([&] {
        ++running;
        released.wait();
        --running;
      });
    }
    EXPECT_TRUE(test::eventually([&] { return running == kMax; }));
    EXPECT_EQ(threads(), with_one + kMax - 1);
    release.set_value();
    EXPECT_TRUE(test::eventually([&] { return running == 0 && threads() == with_one; }));
  }
  std::promise<void> done;
  worker.post_after(std::chrono::milliseconds{10}, [&] { done.set_value(); });
  done.get_future().wait();
}

TEST(Worker, Threads_BlockAllSignals) {
  sigset_t mask;
  std::promise<void> done;
  Worker worker;
  worker.post([&] {
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    done.set_value();
  });
  done.get_future().wait();
  EXPECT_EQ(sigismember(&mask, SIGTERM), 1);
  EXPECT_EQ(sigismember(&mask, SIGINT), 1);
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGTERM), 0);
}

} // namespace
} // namespace vmemfs
