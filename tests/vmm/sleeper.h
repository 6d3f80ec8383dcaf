// SPDX-License-Identifier: MIT
// Thread that takes the place of a vCPU thread.
#pragma once

#include "support/files.h"

#include <atomic>
#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace vmemfs {

/// Sleeps until it is woken, and then sleeps again.
class Sleeper {
public:
  Sleeper() {
    EXPECT_TRUE(test::eventually([&] { return tid_ != 0; }));
  }
  ~Sleeper() { end(); }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  [[nodiscard]] pid_t tid() const { return tid_; }
  void wake() {
    const int before = rounds_;
    int looks = 0;
    EXPECT_TRUE(test::eventually([&] {
      if (rounds_ == before && looks++ % 100 == 0) { // it was not asleep yet: a page fault looks like sleep
        condition_.notify_all();
      }
      return rounds_ > before;
    }));
  }
  void end() {
    if (thread_.joinable()) {
      thread_.request_stop();
      thread_.join();
    }
  }

private:
  std::mutex mutex_;
  std::condition_variable_any condition_;
  std::atomic<pid_t> tid_{0};
  std::atomic<int> rounds_{0};
  std::jthread thread_{[this](const std::stop_token& stop) {
    std::unique_lock lock{mutex_};
    tid_ = static_cast<pid_t>(::syscall(SYS_gettid));
    while (!stop.stop_requested()) {
      const int round = rounds_;
      condition_.wait(lock, stop, [&, first = true]() mutable { return !std::exchange(first, false); });
      rounds_ = round + 1;
    }
  }};
};

} // namespace vmemfs
