// SPDX-License-Identifier: MIT
// Messages between daemon and worker, and the worker's printed lines.
#include "drivers/leechcore/client/worker_output.h"
#include "drivers/leechcore/wire/shared_area.h"
#include "drivers/leechcore/wire/worker_message.h"

#include <algorithm>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace vmemfs::leechcore {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Reply some_reply() { return {true, 7, 12, true, false, 0xffffff, {2, 23, 3}}; }

TEST(WorkerMessage, Request_ReadsBack) {
  const auto request = parse_request(to_message(Request{Operation::write, kMaxPages, 9, kMaxText}));
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->operation, Operation::write);
  EXPECT_EQ(request->count, kMaxPages);
  EXPECT_EQ(request->sequence, 9U);
  EXPECT_EQ(request->text_size, kMaxText);
}

TEST(WorkerMessage, Reply_ReadsBack) {
  const auto reply = parse_reply(to_message(some_reply()), 7);
  ASSERT_TRUE(reply.has_value());
  EXPECT_TRUE(reply->ok && reply->is_volatile && !reply->is_writable);
  EXPECT_EQ(reply->text_size, 12U);
  EXPECT_EQ(reply->max_address, 0xffffffU);
  EXPECT_THAT(reply->version, ElementsAre(2, 23, 3));
}

TEST(WorkerMessage, NumbersOutOfRange_AreInvalid) {
  EXPECT_FALSE(parse_request(to_message(Request{Operation::read, kMaxPages + 1, 1, 0})));
  EXPECT_FALSE(parse_request(to_message(Request{Operation::open, 0, 1, kMaxText + 1})));
  EXPECT_FALSE(parse_request(to_message(Request{static_cast<Operation>(4), 0, 1, 0})));
  Reply reply = some_reply();
  reply.text_size = kMaxText + 1;
  EXPECT_THAT(parse_reply(to_message(reply), 7).error().text, HasSubstr("size of a text"));
}

TEST(WorkerMessage, ReplyToAnotherRequest_IsInvalid) {
  EXPECT_THAT(parse_reply(to_message(some_reply()), 8).error().text, HasSubstr("sequence"));
}

TEST(WorkerMessage, OtherSizeMagicOrFlags_AreInvalid) {
  const Message message = to_message(some_reply());
  for (std::size_t size = 0; size < message.size(); ++size) {
    EXPECT_FALSE(parse_reply(std::span{message}.first(size), 7)) << size;
  }
  std::vector<std::byte> longer{message.begin(), message.end()};
  longer.push_back(std::byte{0});
  EXPECT_FALSE(parse_reply(longer, 7));
  EXPECT_FALSE(parse_reply(to_message(Request{Operation::read, 1, 7, 0}), 7));
  Message flags = message;
  flags[4] |= std::byte{0x80};
  EXPECT_FALSE(parse_reply(flags, 7));
}

TEST(OpenRequest, ReadsBack_EmptyTextsToo) {
  const OpenRequest request{"/opt/leechcore", "fpga://ip=::1", "", "0 - fff -> 0\n"};
  EXPECT_EQ(parse_open_request(to_text(request).value()).value(), request);
  EXPECT_EQ(parse_open_request(to_text(OpenRequest{}).value()).value(), OpenRequest{});
}

TEST(OpenRequest, WithNulOrTooLong_IsInvalid) {
  EXPECT_FALSE(to_text({"", std::string("a\0b", 3), "", ""}));
  EXPECT_FALSE(to_text({"", "", "", std::string(kMaxText, 'x')}));
  EXPECT_FALSE(parse_open_request(""));
  EXPECT_FALSE(parse_open_request("a"));
  EXPECT_FALSE(parse_open_request(std::string_view{"a\0b\0c\0", 6}));
  EXPECT_FALSE(parse_open_request(std::string_view{"a\0b\0c\0d", 7}));
  EXPECT_FALSE(parse_open_request(std::string_view{"a\0b\0c\0d\0e\0", 10}));
}

TEST(SharedMapping, BothSidesSeeTheSame_AndNoneCanCutIt) {
  const auto ours = SharedMapping::create();
  ASSERT_TRUE(ours.has_value());
  const auto theirs = SharedMapping::open(UniqueFd{::dup(ours->fd())});
  ASSERT_TRUE(theirs.has_value());
  theirs->area().results[kMaxPages - 1] = 1;
  EXPECT_EQ(ours->area().results[kMaxPages - 1], 1);
  EXPECT_NE(::ftruncate(theirs->fd(), 0), 0);
  EXPECT_NE(::ftruncate(theirs->fd(), 2 * static_cast<off_t>(sizeof(SharedArea))), 0);
}

TEST(SharedMapping, OtherSize_IsInvalid) {
  UniqueFd small{::memfd_create("small", MFD_CLOEXEC)};
  EXPECT_EQ(SharedMapping::open(std::move(small)).error().kind, ErrorKind::invalid);
}

TEST(LineCutter, CompleteLines_AndPartsOfTooLongOnes) {
  LineCutter cutter;
  EXPECT_THAT(cutter.feed("one\n\ntw"), ElementsAre("one"));
  EXPECT_THAT(cutter.feed("o\nthree"), ElementsAre("two"));
  const auto lines = cutter.feed(std::string(10 * LineCutter::kMaxLine, 'x'));
  EXPECT_EQ(lines.size(), 10U);
  EXPECT_TRUE(
      std::ranges::all_of(lines, [](const auto& line) { return line.size() == LineCutter::kMaxLine; }));
}

} // namespace
} // namespace vmemfs::leechcore
