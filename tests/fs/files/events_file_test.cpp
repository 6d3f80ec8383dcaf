// SPDX-License-Identifier: MIT
#include "fs/files/events_file.h"
#include "support/files.h"
#include "support/recording_reply.h"

#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

class CountingPollHandle : public PollHandle {
public:
  explicit CountingPollHandle(std::atomic<int>& notified) : notified_{notified} {}
  void notify() override { ++notified_; }

private:
  std::atomic<int>& notified_;
};

class EventsFileTest : public testing::Test {
protected:
  ~EventsFileTest() override { readers_->end(); }

  void happen(const std::string& vm) { log_.append(EventKind::added, vm, "fake"); }
  static bool answered(const std::shared_ptr<RecordedAnswer>& answer) {
    return eventually([&] { return answer->count() == 1; });
  }

  EventLog log_;
  std::shared_ptr<EventReaders> readers_ = EventReaders::create(log_);
};

TEST_F(EventsFileTest, Open_ReadsOnlyLaterEvents) {
  happen("early");
  EventsFile file{*readers_};
  EXPECT_EQ(read_file(file, 0, 4096, false, true)->error(), ErrorKind::would_block);
  happen("later");
  EXPECT_THAT(read_file(file)->bytes(), HasSubstr("later"));
}

TEST_F(EventsFileTest, Read_NothingThere_AnsweredByNextEvent) {
  EventsFile file{*readers_};
  const auto answer = read_file(file);
  EXPECT_EQ(answer->count(), 0);
  happen("web01");
  ASSERT_TRUE(answered(answer));
  EXPECT_THAT(answer->bytes(), HasSubstr("web01"));
}

TEST_F(EventsFileTest, Read_Interrupted_AnsweredOnce) {
  EventsFile file{*readers_};
  const auto answer = read_file(file);
  answer->interrupt();
  ASSERT_TRUE(answered(answer));
  EXPECT_EQ(answer->error(), ErrorKind::interrupted);
  happen("web01"); // still there for the next read
  EXPECT_THAT(read_file(file)->bytes(), HasSubstr("web01"));
  answer->interrupt(); // comes too late
  EXPECT_EQ(answer->count(), 1);
}

TEST_F(EventsFileTest, Close_WaitingReadGetsAnError) {
  std::shared_ptr<RecordedAnswer> answer;
  {
    EventsFile file{*readers_};
    answer = read_file(file);
  }
  EXPECT_EQ(answer->error(), ErrorKind::source_failed);
  EXPECT_EQ(readers_->count(), 0U);
}

TEST_F(EventsFileTest, End_WaitingReadsAndLaterOnesGetGone) {
  EventsFile file{*readers_};
  const auto answer = read_file(file);
  readers_->end();
  EXPECT_EQ(answer->error(), ErrorKind::vm_gone);
  EXPECT_EQ(read_file(file)->error(), ErrorKind::vm_gone);
}

TEST_F(EventsFileTest, Read_SmallBuffer_LineContinues) {
  EventsFile file{*readers_};
  happen("web01");
  const std::string first = read_file(file, 0, 10)->bytes();
  EXPECT_EQ(first.size(), 10U);
  const std::string line = first + read_file(file)->bytes();
  EXPECT_TRUE(line.starts_with("{\"time\"") && line.ends_with("}\n")) << line;
}

TEST_F(EventsFileTest, Poll_NotifiedOncePerHandle) {
  EventsFile file{*readers_};
  std::atomic<int> notified{0};
  const auto poll = [&] {
    return answer_to([&](Reply& reply) { file.poll(reply, std::make_unique<CountingPollHandle>(notified)); })
        ->number();
  };
  EXPECT_EQ(poll(), 0U);
  happen("web01");
  ASSERT_TRUE(eventually([&] { return notified == 1; }));
  EXPECT_EQ(poll(), static_cast<unsigned>(POLLIN | POLLRDNORM));
}

} // namespace
} // namespace vmemfs::test
