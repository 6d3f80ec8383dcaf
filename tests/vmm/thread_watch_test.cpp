// SPDX-License-Identifier: MIT
#include "support/files.h"
#include "vmm/thread_list.h"
#include "vmm/thread_watch.h"

#include <gtest/gtest.h>
#include <latch>
#include <thread>
#include <unistd.h>
#include <vector>

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

TEST(ThreadWatch, OneEndsAndAnotherBegins_IsNoticed) {
  std::latch end_first{1};
  std::latch end_second{1};
  std::thread first{[&] { end_first.wait(); }};
  std::thread second{[&] { end_second.wait(); }};
  ThreadWatch watch{::getpid()};
  const std::size_t before = ThreadList{::getpid()}.end().count;
  end_first.count_down();
  first.join();
  EXPECT_TRUE(test::eventually([&] { return ThreadList{::getpid()}.end().count == before - 1; }));
  std::thread third{[&] { end_second.wait(); }};
  EXPECT_EQ(ThreadList{::getpid()}.end().count, before);
  EXPECT_TRUE(watch.changed());
  EXPECT_FALSE(watch.changed());
  end_second.count_down();
  second.join();
  third.join();
}

TEST(ThreadList, Threads_AreInTheOrderOfTheirBegin) {
  std::latch end{1};
  std::thread thread{[&] { end.wait(); }};
  const ThreadList list{::getpid()};
  const auto all = list.read(100);
  ASSERT_GE(all.size(), 2U);
  EXPECT_EQ(all.front(), ::getpid());
  EXPECT_EQ(list.read(1), std::vector<pid_t>{::getpid()});
  EXPECT_EQ(list.end(), (ThreadList::End{all.size(), all.back()}));
  end.count_down();
  thread.join();
}

TEST(ThreadWatch, NoSuchProcess_NeverChanges) {
  ThreadWatch watch{-1};
  EXPECT_FALSE(watch.changed());
}

} // namespace
} // namespace vmemfs
