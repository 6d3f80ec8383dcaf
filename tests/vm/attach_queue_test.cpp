// SPDX-License-Identifier: MIT
#include "support/files.h"
#include "vm/discovery/attach_queue.h"
#include "vm/discovery/report_limit.h"

#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <semaphore>
#include <thread>

namespace vmemfs {
namespace {

using namespace std::chrono_literals;
using test::eventually;

constexpr uid_t kOne = 45001;
constexpr uid_t kTwo = 45002;
constexpr uid_t kThree = 45003;

class AttachQueueTest : public testing::Test {
protected:
  /// Jobs that hang until release().
  void post_hanging(AttachQueue::Owner owner, int count) {
    for (int i = 0; i < count; ++i) {
      queue_.post(owner, [this] {
        ++hanging_;
        released_.acquire();
        released_.release();
        return true;
      });
    }
  }
  void post(AttachQueue::Owner owner) {
    queue_.post(owner, [this] {
      ++done_;
      return true;
    });
  }
  void TearDown() override {
    released_.release();
    queue_.stop();
  }

  std::atomic<int> hanging_{0};
  std::atomic<int> done_{0};
  std::counting_semaphore<> released_{0};
  AttachQueue queue_;
};

TEST_F(AttachQueueTest, HangingJobsOfOneUser_OthersAreAttached) {
  post_hanging(kOne, 20);
  EXPECT_TRUE(eventually([&] { return hanging_ == 2; }));
  post(kTwo);
  post({});
  post(0);
  EXPECT_TRUE(eventually([&] { return done_ == 3; }));
  EXPECT_EQ(hanging_, 2);
}

TEST_F(AttachQueueTest, HangingJobsOfManyUsers_RootsAreAttached) {
  for (const uid_t user : {kOne, kTwo, kThree}) {
    post_hanging(user, 5);
  }
  EXPECT_TRUE(eventually([&] { return hanging_ == 3; }));
  post({});
  post(0);
  EXPECT_TRUE(eventually([&] { return done_ == 2; }));
  EXPECT_EQ(hanging_, 3);
}

TEST_F(AttachQueueTest, HangingJobsOfRoot_OthersAreAttached) {
  post_hanging(0, 20);
  EXPECT_TRUE(eventually([&] { return hanging_ == 3; }));
  post(kOne);
  EXPECT_TRUE(eventually([&] { return done_ == 1; }));
}

TEST(AttachQueueTime, FailedJobs_CostTheirOwnerTime) {
  AttachQueue queue{500ms};
  std::atomic<int> failed{0};
  std::atomic<int> done{0};
  const auto start = AttachQueue::Clock::now();
  for (int i = 0; i < 20; ++i) {
    queue.post(kOne, [&] {
      std::this_thread::sleep_for(200ms);
      ++failed;
      return false;
    });
  }
  EXPECT_TRUE(eventually([&] { // three of them have 0.6 s to make up for, of which 0.5 s are given
    queue.poll();
    return failed >= 3;
  }));
  queue.post(kTwo, [&] {
    ++done;
    return true;
  });
  EXPECT_TRUE(eventually([&] { return done == 1; }));
  EXPECT_TRUE(eventually([&] {
    queue.poll();
    return failed >= 6;
  }));
  EXPECT_GE(AttachQueue::Clock::now() - start, 1500ms);
  queue.stop();
}

TEST_F(AttachQueueTest, Stopped_DropsWhatWaits) {
  post_hanging(kOne, 5);
  EXPECT_TRUE(eventually([&] { return hanging_ == 2; }));
  released_.release();
  queue_.stop();
  const int after = hanging_;
  post_hanging(kOne, 1);
  EXPECT_EQ(hanging_, after);
}

TEST(ReportLimit, ManyInAWindow_RestIsCounted) {
  const auto start = ReportLimit::Clock::now();
  ReportLimit limit{2, 10s};
  EXPECT_TRUE(limit.allows(start));
  EXPECT_TRUE(limit.allows(start + 1s));
  EXPECT_FALSE(limit.allows(start + 2s));
  EXPECT_FALSE(limit.allows(start + 3s));
  EXPECT_EQ(limit.take_left_out(start + 4s), 0U);
  EXPECT_EQ(limit.take_left_out(start + 11s), 2U);
  EXPECT_EQ(limit.take_left_out(start + 11s), 0U);
  EXPECT_TRUE(limit.allows(start + 12s));
}

} // namespace
} // namespace vmemfs
