// SPDX-License-Identifier: MIT
#include "support/files.h"
#include "support/forked_child.h"
#include "util/fd_watcher.h"

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <sys/eventfd.h>

namespace vmemfs {
namespace {

using namespace std::chrono_literals;

UniqueFd make_event(unsigned value = 0) { return UniqueFd{::eventfd(value, EFD_CLOEXEC)}; }
void signal_event(const UniqueFd& event) { ASSERT_EQ(::eventfd_write(event.get(), 1), 0); }

TEST(FdWatcher, ReadableFd_CallsBackOnce) {
  FdWatcher watcher;
  const UniqueFd event = make_event();
  std::atomic<int> calls = 0;
  std::promise<void> called;
  const auto watch = watcher.watch_once(event.get(), [&] {
    ++calls;
    called.set_value();
  });
  ASSERT_TRUE(watch);
  EXPECT_EQ(calls, 0);
  signal_event(event);
  called.get_future().wait();
  signal_event(event);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, 1);
}

TEST(FdWatcher, Pidfd_ProcessEnd_CallsBack) {
  FdWatcher watcher;
  ForkedChild child{[] { return ChildValues{}; }};
  const auto process = child.process();
  std::promise<void> ended;
  const auto watch = watcher.watch_once(process->pidfd(), [&] { ended.set_value(); });
  ASSERT_TRUE(watch);
  child.kill();
  EXPECT_EQ(ended.get_future().wait_for(10s), std::future_status::ready);
}

TEST(FdWatcher, EndedWatch_IsNotCalled) {
  FdWatcher watcher;
  const UniqueFd event = make_event();
  std::atomic<int> calls = 0;
  auto watch = watcher.watch_once(event.get(), [&] { ++calls; });
  watch->end();
  watch->end();
  signal_event(event);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, 0);
  // The same descriptor may be watched again, also by assignment.
  std::promise<void> called;
  *watch = std::move(*watcher.watch_once(event.get(), [&] { called.set_value(); }));
  called.get_future().wait();
}

TEST(FdWatcher, End_WaitsForTheRunningCallback) {
  FdWatcher watcher;
  const UniqueFd event = make_event(1);
  std::promise<void> begun;
  std::atomic<bool> finished = false;
  auto watch = watcher.watch_once(event.get(), [&] {
    begun.set_value();
    std::this_thread::sleep_for(50ms);
    finished = true;
  });
  begun.get_future().wait();
  watch->end();
  EXPECT_TRUE(finished);
}

TEST(FdWatcher, Callback_MayEndItsOwnAndBeginOtherWatches) {
  FdWatcher watcher;
  const UniqueFd first = make_event();
  const UniqueFd second = make_event(1);
  std::mutex mutex; // guards the two watches, as their owner would
  FdWatcher::Watch mine;
  FdWatcher::Watch other;
  std::promise<void> done;
  {
    const std::lock_guard lock{mutex};
    mine = std::move(*watcher.watch_once(first.get(), [&] {
      const std::lock_guard callback_lock{mutex};
      mine.end();
      other = std::move(*watcher.watch_once(second.get(), [&] { done.set_value(); }));
    }));
  }
  signal_event(first);
  EXPECT_EQ(done.get_future().wait_for(10s), std::future_status::ready);
}

TEST(FdWatcher, UnwatchableFd_IsRefused) {
  FdWatcher watcher;
  EXPECT_FALSE(watcher.watch_once(-1, [] {}));
  const UniqueFd event = make_event();
  const auto watch = watcher.watch_once(event.get(), [] {});
  EXPECT_FALSE(watcher.watch_once(event.get(), [] {}));
}

TEST(FdWatcher, EverySecond_CallsUntilTheWatchEnds) {
  FdWatcher watcher;
  std::atomic<int> calls = 0;
  std::atomic<int> others = 0;
  FdWatcher::Watch ends_itself;
  std::mutex mutex; // guards the watch, as its owner would
  {
    const std::lock_guard lock{mutex};
    ends_itself = watcher.watch_every_second([&] {
      const std::lock_guard callback_lock{mutex};
      ++others;
      ends_itself.end();
    });
  }
  const auto begin = std::chrono::steady_clock::now();
  auto watch = watcher.watch_every_second([&] { ++calls; });
  EXPECT_TRUE(test::eventually([&] { return calls >= 2 && others >= 1; }));
  watch.end();
  const int seen = calls;
  EXPECT_LE(seen * 1s, std::chrono::steady_clock::now() - begin + 1s);
  EXPECT_EQ(others, 1);
  std::this_thread::sleep_for(1500ms);
  EXPECT_EQ(calls, seen);
}

TEST(FdWatcher, ManyWatches_BeginAndEnd) {
  FdWatcher watcher;
  std::atomic<int> calls = 0;
  const auto churn = [&] {
    for (int i = 0; i < 2000; ++i) {
      const UniqueFd event = make_event(1);
      const auto watch = watcher.watch_once(event.get(), [&] { ++calls; });
      EXPECT_TRUE(watch);
    }
  };
  {
    const std::jthread one{churn};
    const std::jthread two{churn};
  }
  EXPECT_LE(calls, 4000);
}

} // namespace
} // namespace vmemfs
