// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/session/read_queue.h"
#include "support/files.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <gtest/gtest.h>
#include <optional>
#include <thread>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

using std::chrono::milliseconds;
using Clock = ReadQueue::Clock;

/// A thread's read of one piece, which `carry` carries out if it is its turn.
class Reader {
public:
  Reader(ReadQueue& queue, ReadQueue::Carry carry, Clock::duration limit = std::chrono::minutes{1})
      : thread_{[this, &queue, carry = std::move(carry), limit] {
          const auto done = queue.read(pieces_, Clock::now() + limit, [&](ReadSource& source) {
            had_turn = true;
            return carry(source);
          });
          failure = done ? std::nullopt : std::optional{done.error().kind};
        }} {}
  void join() { thread_.join(); }

  std::atomic<bool> had_turn{false};
  std::optional<ErrorKind> failure; ///< once joined

private:
  std::array<ReadPiece, 1> pieces_{{{Gpa{0}, {}, 0, std::nullopt}}};
  std::jthread thread_; ///< last: it uses the others
};

/// Until there is one; null: none within the test's patience.
SharedRead* next_of(ReadSource& source) {
  SharedRead* next = nullptr;
  static_cast<void>(test::eventually([&] {
    const auto reads = source.take();
    next = reads.empty() ? nullptr : reads.front();
    return next != nullptr;
  }));
  return next;
}

Result<void> finish_all(ReadSource& source) {
  for (SharedRead* const read : source.take()) {
    source.finished(*read, true);
  }
  return {};
}

TEST(ReadQueue, ReadThatComesMeanwhile_IsCarriedOutByTheThreadWithTheTurn) {
  ReadQueue queue;
  std::atomic<bool> begun{false};
  Reader first{queue, [&](ReadSource& source) -> Result<void> {
                 const auto own = source.take();
                 begun = true;
                 SharedRead* const other = next_of(source);
                 EXPECT_TRUE(own.size() == 1 && other != nullptr && other != own.front());
                 source.finished(*other, true);
                 source.finished(*own.front(), true);
                 EXPECT_TRUE(source.take().empty());
                 return {};
               }};
  ASSERT_TRUE(test::eventually([&] { return begun.load(); }));
  Reader second{queue, finish_all};
  first.join();
  second.join();
  EXPECT_FALSE(second.had_turn);
  EXPECT_FALSE(first.failure || second.failure);
}

TEST(ReadQueue, OwnReadFinished_NoOtherJoins_AndHasTheNextTurn) {
  ReadQueue queue;
  std::atomic<bool> finished{false};
  std::atomic<bool> goes_on{false};
  Reader first{queue, [&](ReadSource& source) -> Result<void> {
                 source.finished(*source.take().front(), true);
                 finished = true;
                 EXPECT_TRUE(test::eventually([&] { return goes_on.load(); }));
                 EXPECT_TRUE(source.take().empty());
                 return {};
               }};
  ASSERT_TRUE(test::eventually([&] { return finished.load(); }));
  Reader second{queue, finish_all};
  goes_on = true;
  first.join();
  second.join();
  EXPECT_TRUE(second.had_turn);
}

/// The thread's time limit ends, and the other read begins again with its own.
TEST(ReadQueue, TimeLimitOfTheThread_EndsOnlyItsOwnRead) {
  ReadQueue queue;
  std::atomic<bool> begun{false};
  Reader first{queue, [&](ReadSource& source) -> Result<void> {
                 SharedRead* const own = source.take().front();
                 begun = true;
                 source.finished(*next_of(source), false);
                 source.finished(*own, false);
                 return {};
               }};
  ASSERT_TRUE(test::eventually([&] { return begun.load(); }));
  Reader second{queue, finish_all};
  first.join();
  second.join();
  EXPECT_TRUE(second.had_turn);
  EXPECT_FALSE(second.failure);
}

TEST(ReadQueue, LinkThatCannotBeUsed_FailsTheReadOfThatThread) {
  ReadQueue queue;
  Reader first{queue, [](ReadSource&) { return fail(ErrorKind::busy, "test", "the target runs"); }};
  first.join();
  EXPECT_EQ(first.failure, ErrorKind::busy);
  Reader second{queue, finish_all};
  second.join();
  EXPECT_FALSE(second.failure);
}

TEST(ReadQueue, OthersTakeTooLong_IsBusy) {
  ReadQueue queue;
  std::atomic<bool> begun{false};
  std::atomic<bool> goes_on{false};
  Reader first{queue, [&](ReadSource& source) -> Result<void> {
                 const auto own = source.take();
                 begun = true;
                 EXPECT_TRUE(test::eventually([&] { return goes_on.load(); }));
                 source.finished(*own.front(), true);
                 return {};
               }};
  ASSERT_TRUE(test::eventually([&] { return begun.load(); }));
  Reader second{queue, finish_all, milliseconds{10}};
  second.join();
  goes_on = true;
  first.join();
  EXPECT_EQ(second.failure, ErrorKind::busy);
  EXPECT_FALSE(second.had_turn);
}

} // namespace
} // namespace vmemfs::gdbstub
