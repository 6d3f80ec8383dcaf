// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/limited_calls.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <new>
#include <stop_token>
#include <thread>
#include <vector>

namespace vmemfs::libvirt {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A call that hangs until it is released.
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
  LimitedCalls calls{"domain 'x'", std::make_shared<CallSlots>()};
  EXPECT_EQ(calls.make<int>([] { return Result<int>{7}; }), 7);
  const auto failed = calls.make<int>([]() -> Result<int> { return fail(ErrorKind::busy, "test", "why"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().text, "why");
  EXPECT_TRUE(calls.make<void>([] { return Result<void>{}; }));
}

TEST(LimitedCalls, OneThatHangsIsGivenUpAndNoneIsMadeMeanwhile) {
  LimitedCalls calls{"domain 'x'", std::make_shared<CallSlots>(), 2s};
  Hanging hanging;
  const auto first = calls.make<int>(hanging.call());
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().kind, ErrorKind::timed_out);
  EXPECT_THAT(first.error().text, HasSubstr("domain 'x' does not answer"));
  std::atomic<int> made{0};
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(calls.make<int>([&] { return Result<int>{++made}; }));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
  EXPECT_EQ(made, 0);
  hanging.end();
  for (int i = 0; i < 500 && made == 0; ++i) {
    static_cast<void>(calls.make<int>([&] { return Result<int>{++made}; }));
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(made, 1) << "it answers again";
}

/// A caller that makes several has one limit for all of them.
TEST(LimitedCalls, WorkLimitOver_CallIsGivenUp) {
  LimitedCalls calls{"domain 'x'", std::make_shared<CallSlots>()};
  Hanging hanging;
  const auto begin = WorkLimit::Clock::now();
  {
    const WorkLimit limit{begin + 2s};
    EXPECT_TRUE(calls.make<int>([] { return Result<int>{1}; }));
    const auto late = calls.make<int>(hanging.call());
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().kind, ErrorKind::timed_out);
    EXPECT_EQ(late.error().text, WorkLimit::exceeded("libvirt").value().text);
  }
  EXPECT_LT(WorkLimit::Clock::now() - begin, LimitedCalls::kLimit);
}

TEST(LimitedCalls, WorkStoppedWhileWaitingForASlot_EndsSoon) {
  const auto slots = std::make_shared<CallSlots>();
  Hanging hanging;
  std::vector<std::unique_ptr<LimitedCalls>> domains;
  std::vector<std::jthread> callers;
  std::atomic<unsigned> under_way{0};
  for (unsigned i = 0; i < CallSlots::kSlots; ++i) {
    domains.push_back(std::make_unique<LimitedCalls>("x", slots));
    callers.emplace_back([&, calls = domains.back().get()] {
      static_cast<void>(calls->make<int>([&under_way, call = hanging.call()] {
        ++under_way;
        return call();
      }));
    });
  }
  while (under_way < CallSlots::kSlots) {
    std::this_thread::sleep_for(1ms);
  }
  LimitedCalls calls{"domain 'y'", slots};
  std::stop_source stop;
  const auto begin = WorkLimit::Clock::now();
  const std::jthread stopper{[&] {
    std::this_thread::sleep_for(100ms);
    stop.request_stop();
  }};
  const WorkLimit limit{WorkLimit::Clock::time_point::max(), stop.get_token()};
  const auto stopped = calls.make<int>([] { return Result<int>{1}; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().kind, ErrorKind::timed_out);
  EXPECT_LT(WorkLimit::Clock::now() - begin, LimitedCalls::kLimit);
  hanging.end();
}

/// Domains that hang leave the connection the place that it needs itself.
TEST(LimitedCalls, AConnectionHasFewPlaces) {
  const auto slots = std::make_shared<CallSlots>();
  std::vector<std::unique_ptr<LimitedCalls>> domains;
  Hanging hanging;
  std::array<ErrorKind, 6> kinds{};
  {
    std::vector<std::jthread> callers;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      domains.push_back(std::make_unique<LimitedCalls>("x", slots, 400ms));
      callers.emplace_back([&kinds, &hanging, i, calls = domains.back().get()] {
        std::this_thread::sleep_for(i < CallSlots::kSlots ? 0ms : 100ms);
        const auto result = calls->make<int>(hanging.call());
        kinds.at(i) = result ? ErrorKind::invalid : result.error().kind;
      });
    }
  }
  EXPECT_EQ(std::ranges::count(kinds, ErrorKind::timed_out), CallSlots::kSlots);
  EXPECT_EQ(std::ranges::count(kinds, ErrorKind::busy), 2);
  hanging.end();
  int answered = 0;
  for (int i = 0; i < 500 && answered < 6; ++i) {
    answered = 0;
    for (const auto& domain : domains) {
      answered += domain->make<int>([] { return Result<int>{0}; }) ? 1 : 0;
    }
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(answered, 6) << "all places are there again";
}

TEST(LimitedCalls, WhatThrowsIsAFailure) {
  LimitedCalls calls{"domain 'x'", std::make_shared<CallSlots>()};
  const auto failed = calls.make<int>([]() -> Result<int> { throw std::bad_alloc{}; });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::no_memory);
  EXPECT_TRUE(calls.make<int>([] { return Result<int>{7}; }));
}

TEST(LimitedCalls, NoMoreThanSoManyAtOnce) {
  LimitedCalls calls{"domain 'x'", std::make_shared<CallSlots>()};
  std::atomic<unsigned> now{0};
  std::atomic<unsigned> max{0};
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 12; ++i) {
      callers.emplace_back([&] {
        static_cast<void>(calls.make<int>([&] {
          const unsigned mine = ++now;
          for (unsigned seen = max; seen < mine && !max.compare_exchange_weak(seen, mine);) {
          }
          std::this_thread::sleep_for(20ms);
          --now;
          return Result<int>{0};
        }));
      });
    }
  }
  EXPECT_LE(max, LimitedCalls::kAtOnce);
  EXPECT_GE(max, 2U);
}

} // namespace
} // namespace vmemfs::libvirt
