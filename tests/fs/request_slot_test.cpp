// SPDX-License-Identifier: MIT
#include "fs/fuse/request_slot.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace vmemfs {
namespace {

/// Addresses are only compared.
class RequestSlotTest : public testing::Test {
protected:
  [[nodiscard]] fuse_req_t request(int number) { return reinterpret_cast<fuse_req_t>(&memory_[number]); }

  RequestSlot slot_;

private:
  int memory_[2] = {};
};

TEST_F(RequestSlotTest, NotOpen_IsSeenButNotClaimed) {
  const auto ticket = slot_.begin(request(0), nullptr, RequestKind::ordinary, 0);
  EXPECT_EQ(slot_.view().request, request(0));
  EXPECT_FALSE(slot_.claim(ticket));
  EXPECT_FALSE(slot_.is_done(ticket));
  slot_.open(ticket);
  EXPECT_FALSE(slot_.is_done(ticket));
  EXPECT_TRUE(slot_.claim(ticket));
  EXPECT_TRUE(slot_.is_done(ticket));
  EXPECT_EQ(slot_.view().request, nullptr);
}

TEST_F(RequestSlotTest, LateClaim_DoesNotMeetTheNextRequest) {
  const auto first = slot_.begin(request(0), nullptr, RequestKind::ordinary, 0);
  slot_.open(first);
  EXPECT_TRUE(slot_.claim(first));
  const auto second = slot_.begin(request(1), nullptr, RequestKind::ordinary, 0);
  slot_.open(second);
  EXPECT_FALSE(slot_.claim(first));
  EXPECT_EQ(slot_.view().request, request(1));
  EXPECT_TRUE(slot_.claim(second));
}

TEST_F(RequestSlotTest, ClaimedByMany_OneGetsEach) {
  constexpr int kThreads = 3;
  constexpr int kRequests = 20000;
  std::atomic<int> claims = 0;
  std::atomic<bool> done = false;
  std::vector<std::jthread> others;
  for (int i = 0; i < kThreads; ++i) {
    others.emplace_back([&] {
      while (!done) {
        const auto view = slot_.view();
        if (view.request != nullptr && slot_.claim(view.ticket)) {
          ++claims;
        }
      }
    });
  }
  for (int i = 0; i < kRequests; ++i) {
    const auto ticket = slot_.begin(request(i % 2), nullptr, RequestKind::ordinary, 0);
    slot_.open(ticket);
    if (slot_.claim(ticket)) {
      ++claims;
    }
  }
  done = true;
  others.clear();
  EXPECT_EQ(claims, kRequests);
}

} // namespace
} // namespace vmemfs
