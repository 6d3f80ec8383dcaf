// SPDX-License-Identifier: MIT
#include "util/lane.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::chrono::seconds kLong{20};

TEST(Lane, JobsOfOneLane_RunOneAtATimeInOrder) {
  std::vector<int> order; // without a lock: a thread sanitizer finds a second thread in it
  std::promise<void> done;
  Worker worker{4};
  const Lane lane{worker};
  for (int i = 0; i < 1000; ++i) {
    lane.post([&order, i] { order.push_back(i); });
  }
  lane.post_after(std::chrono::milliseconds{50}, [&done] { done.set_value(); });
  ASSERT_EQ(done.get_future().wait_for(kLong), std::future_status::ready);
  EXPECT_EQ(order.size(), 1000U);
}

TEST(Lane, HungLanes_OccupyOneThreadEach) {
  constexpr int kHung = 10;
  constexpr int kJobs = 20;
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::promise<void> done;
  Worker worker{1, kHung + 1};
  std::vector<std::unique_ptr<Lane>> hung;
  for (int i = 0; i < kHung; ++i) {
    hung.push_back(std::make_unique<Lane>(worker));
    for (int job = 0; job < kJobs; ++job) {
      hung.back()->post([released] { released.wait(); });
    }
  }
  const Lane healthy{worker};
  healthy.post_after(std::chrono::milliseconds{50}, [&done] { done.set_value(); });
  EXPECT_EQ(done.get_future().wait_for(kLong), std::future_status::ready);
  release.set_value();
}

TEST(Lane, Destroyed_ItsJobsStillRun) {
  std::promise<void> done;
  Worker worker;
  std::make_unique<Lane>(worker)->post([&done] { done.set_value(); });
  EXPECT_EQ(done.get_future().wait_for(kLong), std::future_status::ready);
}

} // namespace
} // namespace vmemfs
