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
  void post_hanging(AttachQueue::Owner owner, int count, std::atomic<int>& started) {
    for (int i = 0; i < count; ++i) {
      queue_.post(owner, [this, &started] {
        ++started;
        released_.acquire();
        released_.release();
        return true;
      });
    }
  }
  void post(AttachQueue::Owner owner, std::atomic<int>& done) {
    queue_.post(owner, [&done] {
      ++done;
      return true;
    });
  }
  void TearDown() override {
    released_.release();
    queue_.stop();
  }

  std::counting_semaphore<> released_{0};
  AttachQueue queue_;
};

TEST_F(AttachQueueTest, HangingJobsOfOneUser_OthersAreAttached) {
  std::atomic<int> hanging{0};
  std::atomic<int> done{0};
  post_hanging(kOne, 20, hanging);
  EXPECT_TRUE(eventually([&] { return hanging == 2; }));
  post(kTwo, done);
  post({}, done);
  post(0, done);
  EXPECT_TRUE(eventually([&] { return done == 3; }));
  EXPECT_EQ(hanging, 2);
}

TEST_F(AttachQueueTest, HangingJobsOfManyUsers_RootsAreAttached) {
  std::atomic<int> hanging{0};
  std::atomic<int> done{0};
  for (const uid_t user : {kOne, kTwo, kThree}) {
    post_hanging(user, 5, hanging);
  }
  EXPECT_TRUE(eventually([&] { return hanging == 3; }));
  post({}, done);
  post(0, done);
  EXPECT_TRUE(eventually([&] { return done == 2; }));
  EXPECT_EQ(hanging, 3);
}

TEST_F(AttachQueueTest, HangingJobsOfRoot_OthersAreAttached) {
  std::atomic<int> hanging{0};
  std::atomic<int> done{0};
  post_hanging(0, 20, hanging);
  EXPECT_TRUE(eventually([&] { return hanging == 3; }));
  post(kOne, done);
  EXPECT_TRUE(eventually([&] { return done == 1; }));
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
  EXPECT_TRUE(eventually([&] { return failed == 3; })); // 1.2 s to make up for, of which 0.5 s are given
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
  std::atomic<int> hanging{0};
  post_hanging(kOne, 5, hanging);
  EXPECT_TRUE(eventually([&] { return hanging == 2; }));
  released_.release();
  queue_.stop();
  const int after = hanging;
  post_hanging(kOne, 1, hanging);
  EXPECT_EQ(hanging, after);
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
