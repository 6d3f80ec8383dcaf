// SPDX-License-Identifier: MIT
#include "util/worker.h"
#include "vm/state/state_polls.h"

#include <chrono>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <vector>

namespace vmemfs {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

/// Polls on a worker with one thread.
class StatePollsTest : public testing::Test {
protected:
  void post(int number) {
    polls_.post(moment_, owner_, [this, number] { called_.push_back(number); });
  }
  /// What was called when all jobs of the moment have run.
  std::vector<int> called() {
    std::promise<std::vector<int>> done;
    worker_.post_after(moment_ + 1ms - StatePolls::Clock::now(), [&] { done.set_value(called_); });
    return done.get_future().get();
  }

  std::shared_ptr<int> owner_ = std::make_shared<int>();
  std::vector<int> called_; ///< of the worker's thread
  const StatePolls::Clock::time_point moment_ = StatePolls::next_moment(1s);
  Worker worker_;
  const StatePolls polls_{worker_};
};

TEST_F(StatePollsTest, PollsOfOneMoment_AreOneJob) {
  // A job that is due at once runs as the next one.
  polls_.post(moment_, owner_, [this] { worker_.post([this] { called_.push_back(0); }); });
  post(1);
  post(2);
  EXPECT_THAT(called(), ElementsAre(1, 2, 0));
  EXPECT_GE(StatePolls::Clock::now(), moment_);
}

TEST_F(StatePollsTest, OwnerDestroyedBefore_IsNotPolled) {
  post(1);
  owner_.reset();
  EXPECT_THAT(called(), ElementsAre());
}

TEST_F(StatePollsTest, OwnerEndsMeanwhile_OtherPollsDoNotWaitForItsEnd) {
  std::promise<void> others_polled;
  bool ended_last = false;
  std::shared_ptr<bool> slow{&ended_last, [&](bool* last) {
                               *last = others_polled.get_future().wait_for(10s) == std::future_status::ready;
                             }};
  polls_.post(moment_, slow, [&slow] { slow.reset(); }); // the poll has the last reference then
  polls_.post(moment_, owner_, [&] { others_polled.set_value(); });
  static_cast<void>(called());
  EXPECT_TRUE(ended_last);
}

} // namespace
} // namespace vmemfs
