// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/session/wire_format.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace vmemfs::pmemaccess {
namespace {

using State = ReadReply::State;

void feed(ReadReply& reply, std::initializer_list<int> bytes) {
  for (const int byte : bytes) {
    ASSERT_FALSE(reply.room().empty());
    reply.room().front() = static_cast<std::byte>(byte);
    reply.take(1);
  }
}

TEST(WireFormat, Request_HasTypeAddressAndLengthAsWords_WithPaddingOfZeros) {
  const auto bytes = request_bytes(RequestType::read, Gpa{0x1'2345'6789}, 0x1000);
  const RequestBytes expected{
      std::byte{1}, std::byte{0}, std::byte{0},    std::byte{0},    std::byte{0},    std::byte{0},
      std::byte{0}, std::byte{0}, std::byte{0x89}, std::byte{0x67}, std::byte{0x45}, std::byte{0x23},
      std::byte{1}, std::byte{0}, std::byte{0},    std::byte{0},    std::byte{0},    std::byte{0x10},
      std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0},    std::byte{0},    std::byte{0}};
  EXPECT_EQ(bytes, expected);
  const auto quit = request_bytes(RequestType::quit, Gpa{0}, 0);
  EXPECT_TRUE(std::ranges::all_of(quit, [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST(WireFormat, Reply_IsWholeWithAStatusThatIsNotZero) {
  ReadReply reply;
  for (const int status : {1, 0xa5, 0xff}) {
    reply.begin(3);
    EXPECT_EQ(reply.state(), State::empty);
    feed(reply, {7});
    EXPECT_EQ(reply.state(), State::one_byte);
    feed(reply, {8, 9});
    EXPECT_EQ(reply.state(), State::partial);
    EXPECT_TRUE(reply.data().empty()) << "the status is missing";
    feed(reply, {status});
    EXPECT_EQ(reply.state(), State::whole);
    ASSERT_EQ(reply.data().size(), 3U);
    EXPECT_EQ(reply.data()[2], std::byte{9});
    EXPECT_TRUE(reply.room().empty());
  }
}

TEST(WireFormat, StatusOfZero_GivesNothing) {
  ReadReply reply;
  reply.begin(2);
  feed(reply, {7, 8, 0});
  EXPECT_EQ(reply.state(), State::failed);
  EXPECT_TRUE(reply.data().empty());
  EXPECT_TRUE(reply.room().empty());
}

TEST(WireFormat, NextReply_HasNothingOfTheLast) {
  ReadReply reply;
  reply.begin(1);
  feed(reply, {7, 1});
  EXPECT_EQ(reply.state(), State::whole);
  reply.begin(1);
  EXPECT_TRUE(reply.data().empty());
  EXPECT_EQ(reply.room().size(), 2U);
  reply.begin(kMaxRead);
  EXPECT_EQ(reply.room().size(), kMaxRead + 1);
}

} // namespace
} // namespace vmemfs::pmemaccess
