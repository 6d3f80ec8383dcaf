// SPDX-License-Identifier: MIT
#include "fs/files/event_feed.h"
#include "fs/files/events_file.h"
#include "support/files.h"
#include "support/recording_reply.h"

#include <algorithm>
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <string>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class CountingPollHandle : public PollHandle {
public:
  explicit CountingPollHandle(std::atomic<int>& notified) : notified_{notified} {}
  void notify() override { ++notified_; }

private:
  std::atomic<int>& notified_;
};

constexpr auto kReadable = static_cast<unsigned>(POLLIN | POLLRDNORM);

class EventFeedTest : public testing::Test {
protected:
  ~EventFeedTest() override { feed_->end(); }

  void happen(const std::string& vm, std::size_t times = 1) {
    for (std::size_t i = 0; i < times; ++i) {
      log_.append(EventKind::added, vm, "fake");
    }
  }
  /// All that a program gets that reads to the end, with reads of this size.
  static std::string cat(OpenFile& file, std::uint64_t from = 0, std::size_t step = 1000) {
    std::string text;
    for (std::string part = "-"; !part.empty(); text += part) {
      part = read_file(file, from + text.size(), step)->bytes();
    }
    return text;
  }
  static std::size_t lines(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
  }
  unsigned poll(OpenFile& file) {
    const auto answer =
        answer_to([&](Reply& reply) { file.poll(reply, std::make_unique<CountingPollHandle>(notified_)); });
    return static_cast<unsigned>(answer->number());
  }

  EventLog log_;
  std::shared_ptr<EventFeed> feed_ = EventFeed::create(log_);
  std::atomic<int> notified_{0};
};

TEST_F(EventFeedTest, Read_GivesAllThereIsAndEnds) {
  EventsFile early{*feed_};
  EXPECT_EQ(read_file(early)->bytes(), "");
  happen("web01");
  happen("web02");
  EventsFile late{*feed_};
  const std::string text = cat(late);
  EXPECT_EQ(lines(text), 2U);
  EXPECT_THAT(text, testing::AllOf(StartsWith("{\"time\""), HasSubstr("web01"), HasSubstr("web02")));
  EXPECT_EQ(cat(early), text);
  EXPECT_EQ(cat(late, 0, 7), text) << "again, in small pieces";
  EXPECT_EQ(feed_->size(), text.size());
}

TEST_F(EventFeedTest, OffsetsStay_AsTheLogGrows) {
  happen("web01");
  EventsFile file{*feed_};
  const std::string before = cat(file);
  happen("web02");
  const std::string after = cat(file);
  EXPECT_THAT(after, StartsWith(before));
  EXPECT_EQ(read_file(file, before.size())->bytes(), after.substr(before.size()));
  EXPECT_EQ(read_file(file, 1U << 30U)->bytes(), "");
}

TEST_F(EventFeedTest, SlowReader_GetsTheNumberOfDroppedEvents) {
  happen("web01", 3);
  EventsFile file{*feed_};
  const std::string first = cat(file);
  std::uint64_t at = first.size();
  happen("web02", EventFeed::kMaxLines);
  static_cast<void>(feed_->size()); // takes them over
  happen("web03", 100);
  const std::string rest = cat(file, at);
  EXPECT_THAT(rest, HasSubstr("\"missed\",\"detail\":\"100 events\""));
  EXPECT_EQ(lines(rest), EventFeed::kMaxLines + 1);
  EXPECT_EQ(feed_->missed(), 100U);
  at += rest.size();
  happen("web04");
  EXPECT_THAT(read_file(file, at)->bytes(), testing::AllOf(StartsWith("{\"time\""), HasSubstr("web04")));
}

TEST_F(EventFeedTest, ReaderWithinADroppedLine_GetsItsRest) {
  happen("web01", 3);
  EventsFile file{*feed_};
  const std::string line = read_file(file, 0, 100)->bytes();
  const std::string part = read_file(file, 0, 10)->bytes();
  happen("web02", EventFeed::kMaxLines);
  const std::string rest = read_file(file, part.size())->bytes();
  EXPECT_THAT(rest, StartsWith(line.substr(10, line.find('\n') - 9)));
  EXPECT_THAT(rest.substr(line.find('\n') - 9),
              testing::AllOf(StartsWith("{\"time\""), HasSubstr("2 events")));
}

TEST_F(EventFeedTest, ReaderWithinANotice_GetsItsRest) {
  happen("web01", 3);
  EventsFile file{*feed_};
  std::string text = read_file(file, 0, 1)->bytes();
  for (int i = 0; i < 3; ++i) { // each time, more is dropped while it is within the line that tells of that
    happen("web02", EventFeed::kMaxLines);
    text += read_file(file, text.size(), 150)->bytes();
  }
  const std::string all = text + cat(file, text.size());
  std::size_t begin = 0;
  for (std::size_t end = all.find('\n'); end != std::string::npos; end = all.find('\n', begin)) {
    EXPECT_TRUE(nlohmann::json::accept(all.substr(begin, end - begin))) << all.substr(begin, end - begin);
    begin = end + 1;
  }
  EXPECT_EQ(begin, all.size());
}

/// Positions are those in the text for who does not read on.
TEST_F(EventFeedTest, AfterANotice_OtherOffsetsAreTrue) {
  happen("web01", 3);
  EventsFile file{*feed_};
  EventsFile other{*feed_};
  static_cast<void>(cat(file));
  happen("web02", EventFeed::kMaxLines);
  const std::string all = cat(file);
  EXPECT_LT(all.size(), feed_->size());
  const std::uint64_t end = feed_->size();
  EXPECT_EQ(read_file(file, end)->bytes(), "");
  happen("web03");
  EXPECT_THAT(read_file(file, end)->bytes(), testing::AllOf(StartsWith("{\"time\""), HasSubstr("web03")));
  EXPECT_EQ(read_file(file, end - 10, 10)->bytes(), read_file(other, end - 10, 10)->bytes());
}

/// As epoll(7) with EPOLLET asks: only when it reports.
TEST_F(EventFeedTest, PolledWhileReadable_NextEventIsNotified) {
  happen("web01");
  EventsFile file{*feed_};
  EXPECT_EQ(poll(file), kReadable);
  static_cast<void>(cat(file));
  happen("web02");
  EXPECT_TRUE(eventually([&] { return notified_ == 1; }));
}

/// More between two reads than the log keeps.
TEST_F(EventFeedTest, LogOverrun_IsALineOfTheText) {
  EventsFile file{*feed_};
  happen("web01", EventLog::kMaxKept + 50);
  EXPECT_THAT(read_file(file, 0, 200)->bytes(), HasSubstr("\"missed\",\"detail\":\"50 events\""));
}

TEST_F(EventFeedTest, NobodyReads_TextBeginsWithTheNumberOfDroppedEvents) {
  happen("web01", EventFeed::kMaxLines);
  const std::uint64_t before = feed_->size();
  happen("web01", 100);
  EXPECT_LT(feed_->size(), before + 200);
  EventsFile file{*feed_};
  const std::string text = cat(file);
  EXPECT_EQ(text.size(), feed_->size());
  EXPECT_THAT(text, HasSubstr("\"missed\",\"detail\":\"100 events\""));
  EXPECT_EQ(lines(text), EventFeed::kMaxLines + 1);
}

TEST_F(EventFeedTest, LongEvents_AreBoundedByBytes) {
  for (int i = 0; i < 12; ++i) {
    log_.append(EventKind::error, "web01", std::string(std::size_t{1} << 20U, 'x'));
    EXPECT_LE(feed_->size(), EventFeed::kMaxBytes + (std::size_t{2} << 20U));
  }
}

TEST_F(EventFeedTest, Poll_WakesOncePerHandle) {
  happen("web01");
  EventsFile file{*feed_};
  EXPECT_EQ(poll(file), kReadable);
  static_cast<void>(cat(file));
  EXPECT_EQ(poll(file), 0U);
  happen("web02");
  ASSERT_TRUE(eventually([&] { return notified_ == 1; }));
  EXPECT_EQ(poll(file), kReadable);
}

TEST_F(EventFeedTest, End_WakesThosePolling) {
  EventsFile file{*feed_};
  EXPECT_EQ(poll(file), 0U);
  feed_->end();
  EXPECT_EQ(notified_, 1);
  EXPECT_EQ(poll(file), kReadable | static_cast<unsigned>(POLLHUP));
}

TEST_F(EventFeedTest, Close_IsNoReaderAnyMore) {
  {
    const EventsFile file{*feed_};
    EXPECT_EQ(feed_->readers(), 1U);
  }
  EXPECT_EQ(feed_->readers(), 0U);
}

} // namespace
} // namespace vmemfs::test
