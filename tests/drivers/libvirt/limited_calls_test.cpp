#include "drivers/libvirt/limited_calls.h"

#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace vmemfs::libvirt {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A call that hangs until it is let go.
struct Hanging {
  std::shared_ptr<std::atomic<bool>> go = std::make_shared<std::atomic<bool>>(false);

  [[nodiscard]] std::function<Result<int>()> call() const {
    return [let_go = go] {
      let_go->wait(false);
      return Result<int>{1};
    };
  }
  ~Hanging() { end(); }
  void end() const {
    *go = true;
    go->notify_all();
  }
};

TEST(LimitedCalls, GiveBackWhatTheCallGives) {
  LimitedCalls calls{"domain 'x'"};
  EXPECT_EQ(calls.make<int>([] { return Result<int>{7}; }), 7);
  const auto failed = calls.make<int>([]() -> Result<int> { return fail(ErrorKind::busy, "test", "why"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().text, "why");
  EXPECT_TRUE(calls.make<void>([] { return Result<void>{}; }));
}

TEST(LimitedCalls, OneThatHangsIsGivenUpAndNoneIsMadeMeanwhile) {
  LimitedCalls calls{"domain 'x'", 200ms};
  Hanging hanging;
  const auto first = calls.make<int>(hanging.call());
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().kind, ErrorKind::timed_out);
  EXPECT_THAT(first.error().text, HasSubstr("domain 'x' does not answer"));
  std::atomic<int> made{0};
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(calls.make<int>([&] { return Result<int>{++made}; }));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 150ms);
  EXPECT_EQ(made, 0);
  hanging.end();
  for (int i = 0; i < 500 && made == 0; ++i) {
    static_cast<void>(calls.make<int>([&] { return Result<int>{++made}; }));
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(made, 1) << "it answers again";
}

TEST(LimitedCalls, NoMoreThanSoManyAtOnce) {
  LimitedCalls calls{"domain 'x'"};
  std::atomic<unsigned> now{0};
  std::atomic<unsigned> most{0};
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 12; ++i) {
      callers.emplace_back([&] {
        static_cast<void>(calls.make<int>([&] {
          const unsigned mine = ++now;
          for (unsigned seen = most; seen < mine && !most.compare_exchange_weak(seen, mine);) {
          }
          std::this_thread::sleep_for(20ms);
          --now;
          return Result<int>{0};
        }));
      });
    }
  }
  EXPECT_LE(most, LimitedCalls::kAtOnce);
  EXPECT_GE(most, 2U);
}

} // namespace
} // namespace vmemfs::libvirt
