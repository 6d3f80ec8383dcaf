// SPDX-License-Identifier: MIT
#include "vmm/thread_watch.h"

#include <gtest/gtest.h>
#include <latch>
#include <thread>
#include <unistd.h>

namespace vmemfs {
namespace {

TEST(ThreadWatch, BegunAndEndedThreads_AreEachNoticedOnce) {
  ThreadWatch watch{::getpid()};
  EXPECT_FALSE(watch.changed());
  std::latch end{1};
  std::thread thread{[&] { end.wait(); }};
  EXPECT_TRUE(watch.changed());
  EXPECT_FALSE(watch.changed());
  end.count_down();
  thread.join();
  // The kernel takes it out of the list shortly after it can be joined.
  bool noticed = false;
  for (int i = 0; i < 10000 && !noticed; ++i) {
    noticed = watch.changed();
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  EXPECT_TRUE(noticed);
}

TEST(ThreadWatch, NoSuchProcess_NeverChanges) {
  ThreadWatch watch{-1};
  EXPECT_FALSE(watch.changed());
}

} // namespace
} // namespace vmemfs
