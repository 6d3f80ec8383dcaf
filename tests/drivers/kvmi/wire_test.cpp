// SPDX-License-Identifier: MIT
#include "drivers/kvmi/wire/dialect.h"
#include "drivers/kvmi/wire/event.h"
#include "drivers/kvmi/wire/greeting.h"
#include "drivers/kvmi/wire/message.h"
#include "drivers/kvmi/wire/sha1.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace vmemfs::kvmi {
namespace {

std::vector<std::byte> bytes_of(std::string_view hex) {
  std::vector<std::byte> bytes;
  std::string digits;
  std::ranges::copy_if(hex, std::back_inserter(digits), [](char c) { return c != ' '; });
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string hex_of(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  }
  return text;
}

/// FIPS 180's examples, and lengths around that of a block (by sha1sum).
TEST(KvmiSha1, KnownDigests) {
  EXPECT_EQ(hex_of(sha1("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex_of(sha1("")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(hex_of(sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(hex_of(sha1(std::string(1'000'000, 'a'))), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST(KvmiGreeting, Fields_AreAtTheirOffsets) {
  auto bytes = bytes_of("68000000 00112233445566778899aabbccddeeff 00000000 00f1536500000000");
  bytes.resize(104);
  std::memcpy(&bytes[32], "web01", 5);
  bytes[98] = std::byte{0x10};
  const Greeting greeting = parse_greeting(bytes);
  EXPECT_EQ(greeting.uuid, "00112233-4455-6677-8899-aabbccddeeff");
  EXPECT_EQ(greeting.start_time, 0x6553f100);
  EXPECT_EQ(greeting.name, "web01");
  EXPECT_EQ(greeting.max_gpa, 0x100000U);
  // A missing tail counts as zeros, and a name without an end has 64 bytes.
  EXPECT_EQ(parse_greeting(std::span{bytes}.first(32)).name, "");
  std::ranges::fill(std::span{bytes}.subspan(32, 64), std::byte{'x'});
  EXPECT_EQ(parse_greeting(bytes).name, std::string(64, 'x'));
}

TEST(KvmiGreeting, Sizes_HaveLimits) {
  const auto size_of = [](std::string_view hex) {
    const auto bytes = bytes_of(hex);
    return greeting_size(std::span{bytes}.first<kGreetingSizeField>());
  };
  EXPECT_EQ(size_of("20000000").value(), 32U);
  EXPECT_EQ(size_of("00000100").value(), 65536U);
  for (const auto* const wrong : {"00000000", "1f000000", "01000100", "ffffffff"}) {
    EXPECT_FALSE(size_of(wrong)) << wrong;
  }
}

TEST(KvmiGreeting, Answer_HasTheHashOfTheSecret) {
  EXPECT_EQ(hex_of(greeting_answer("abc")), "18000000a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex_of(greeting_answer("")), "18000000" + std::string(40, '0'));
}

TEST(KvmiMessages, StreamInPieces_GivesTheSameMessages) {
  const auto stream = bytes_of("1100 0a00 78563412 0000000000000000 abcd"
                               "0200 0000 01000000");
  for (const std::size_t step : {1U, 3U, 7U, 100U}) {
    MessageReader reader;
    std::vector<std::string> messages;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      const std::size_t size = std::min(step, stream.size() - at);
      std::memcpy(reader.room().data(), &stream[at], size);
      reader.added(size);
      for (auto message = reader.next(); message && *message; message = reader.next()) {
        messages.push_back(
            fmt::format("{} {:x} {}", (**message).id, (**message).seq, hex_of((**message).payload)));
      }
    }
    EXPECT_EQ(messages, (std::vector<std::string>{"17 12345678 0000000000000000abcd", "2 1 "})) << step;
  }
}

TEST(KvmiMessages, TooLargeOne_IsAnError) {
  MessageReader reader;
  const auto bytes = bytes_of("1100 f91f 00000000");
  std::memcpy(reader.room().data(), bytes.data(), bytes.size());
  reader.added(bytes.size());
  EXPECT_FALSE(reader.next());
}

TEST(KvmiMessages, MoreThanTheBuffer_IsTakenAsItComes) {
  MessageReader reader;
  std::vector<std::byte> message(kHeaderSize + kMaxPayload);
  store_header(message, 17, kMaxPayload, 5);
  std::size_t added = 0;
  std::size_t taken = 0;
  while (taken < 200) {
    while (added < (taken + 3) * message.size()) {
      const auto room = reader.room();
      ASSERT_FALSE(room.empty());
      const std::size_t at = added % message.size();
      const std::size_t size = std::min(room.size(), message.size() - at);
      std::memcpy(room.data(), &message[at], size);
      reader.added(size);
      added += size;
    }
    const auto next = reader.next();
    ASSERT_TRUE(next && *next);
    EXPECT_EQ((**next).payload.size(), kMaxPayload);
    ++taken;
  }
}

TEST(KvmiMessages, Replies) {
  EXPECT_FALSE(parse_reply(bytes_of("000000000000")));      // too short
  EXPECT_FALSE(parse_reply(bytes_of("01000000 00000000"))); // a positive status
  EXPECT_FALSE(parse_reply(bytes_of("000000f0 00000000"))); // far below any errno
  const auto refused = bytes_of("feffffff 00000000 aabb");
  EXPECT_EQ(parse_reply(refused)->status, -2);
  EXPECT_TRUE(parse_reply(refused)->data.empty());
  const auto good = bytes_of("00000000 00000000 aabb");
  EXPECT_EQ(hex_of(parse_reply(good)->data), "aabb");
}

Message event_of(std::uint16_t id, const std::vector<std::byte>& payload) { return {id, 7, payload}; }

TEST(KvmiEvents, PauseOfTheTree_AndItsReply) {
  auto payload = bytes_of("2002 0300 0a 000000");
  payload.resize(544);
  const auto event = parse_event(Dialect::tree, event_of(1, payload));
  ASSERT_TRUE(event);
  EXPECT_EQ(*event, (Event{.kind = EventKind::pause, .number = 10, .vcpu = 3, .seq = 7}));
  EXPECT_EQ(hex_of(continue_reply(Dialect::tree, *event).message()), "0000100007000000"
                                                                     "0300000000000000"
                                                                     "000a000000000000");
}

TEST(KvmiEvents, PauseOfV12_AndItsReply) {
  auto payload = bytes_of("0100 000000000000 2002 0300 00000000");
  payload.resize(552);
  const auto event = parse_event(Dialect::v12, event_of(1, payload));
  ASSERT_TRUE(event);
  EXPECT_EQ(*event, (Event{.kind = EventKind::pause, .number = 1, .vcpu = 3, .seq = 7}));
  EXPECT_EQ(hex_of(continue_reply(Dialect::v12, *event).message()), "0100100007000000"
                                                                    "0300000000000000"
                                                                    "0001000000000000");
}

TEST(KvmiEvents, Unhook_HasNoReply) {
  auto payload = bytes_of("2002 0000 00 000000");
  payload.resize(544);
  EXPECT_EQ(parse_event(Dialect::tree, event_of(1, payload))->kind, EventKind::unhook);
  EXPECT_FALSE(parse_event(Dialect::tree, event_of(1, payload))->has_reply);
  const auto v12 = bytes_of("0000000000000000");
  EXPECT_EQ(parse_event(Dialect::v12, event_of(0, v12))->kind, EventKind::unhook);
  EXPECT_FALSE(parse_event(Dialect::v12, event_of(0, v12))->has_reply);
}

/// Zero would be written to the register otherwise.
TEST(KvmiEvents, ReplyToCrAndMsrEvents_RepeatsTheNewValue) {
  for (const std::string number : {"01", "02"}) {
    auto payload = bytes_of("2002 0000 " + number + " 000000");
    payload.resize(544 + 24);
    payload[544 + 16] = std::byte{0x42};
    const auto event = parse_event(Dialect::tree, event_of(1, payload));
    EXPECT_EQ(event->new_value, 0x42U);
    EXPECT_EQ(hex_of(continue_reply(Dialect::tree, *event).message()), "0000180007000000"
                                                                       "0000000000000000"
                                                                       "00" +
                                                                           number +
                                                                           "000000000000"
                                                                           "4200000000000000");
  }
}

TEST(KvmiEvents, TooShortOne_IsAnError) {
  EXPECT_FALSE(parse_event(Dialect::tree, event_of(1, bytes_of("20020300"))));
  EXPECT_FALSE(parse_event(Dialect::v12, event_of(1, bytes_of("0100000000000000"))));
  EXPECT_FALSE(parse_event(Dialect::v12, event_of(0, bytes_of("0000"))));
}

} // namespace
} // namespace vmemfs::kvmi
