// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/gdb_packets.h"

#include <array>
#include <cstddef>
#include <gtest/gtest.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vmemfs {
namespace {

TEST(GdbPackets, ChecksumIsTheSumOfTheBytes) {
  EXPECT_EQ(gdb_packet("OK"), "$OK#9a");
  EXPECT_EQ(gdb_packet(""), "$#00");
  EXPECT_EQ(gdb_packet("\xff\xff"), "$\xff\xff#fe");
}

TEST(GdbPackets, NumbersAreLittleEndian) {
  EXPECT_EQ(gdb_number(0x1122334455667788, 8), "8877665544332211");
  EXPECT_EQ(gdb_number(0x10, 4), "10000000");
  EXPECT_EQ(parse_gdb_number("8877665544332211"), 0x1122334455667788U);
  EXPECT_EQ(parse_gdb_number("10000000"), 0x10U);
  for (const char* text : {"", "1", "xxxxxxxx", "887766554433221100", "E14"}) {
    EXPECT_FALSE(parse_gdb_number(text)) << text;
  }
}

TEST(GdbPackets, BytesAreHexInTheirOrder) {
  std::array<std::byte, 4> bytes{};
  EXPECT_EQ(parse_gdb_bytes("00fFa1", bytes), 3U);
  EXPECT_EQ(gdb_bytes(std::span{bytes}.first(3)), "00ffa1");
  EXPECT_EQ(parse_gdb_bytes("", bytes), 0U);
  for (const char* text : {"0", "0g", "xx", "0011223344", " 0"}) {
    EXPECT_FALSE(parse_gdb_bytes(text, bytes)) << text;
  }
}

/// Long texts are decoded by blocks.
TEST(GdbPackets, LongBytesAreHex_EachDigitInEachPlace) {
  constexpr std::string_view kDigits = "0123456789abcdefABCDEF";
  std::array<std::byte, 100> bytes{};
  for (std::size_t place = 0; place < 2 * bytes.size(); ++place) {
    for (int c = 0; c < 256; ++c) {
      std::string text(2 * bytes.size(), '5');
      text[place] = static_cast<char>(c);
      const auto parsed = parse_gdb_bytes(text, bytes);
      const std::size_t digit = kDigits.find(static_cast<char>(c));
      ASSERT_EQ(parsed.has_value(), digit != std::string_view::npos) << place << ' ' << c;
      if (parsed) {
        const std::size_t value = digit < 16 ? digit : digit - 6;
        const auto expected = static_cast<std::byte>(place % 2 == 0 ? value << 4 | 5 : 0x50 | value);
        ASSERT_EQ(bytes[place / 2], expected) << place << ' ' << c;
        ASSERT_EQ(bytes[(place / 2 + 1) % bytes.size()], std::byte{0x55});
      }
    }
  }
}

TEST(GdbPackets, ChecksumOfALongPacketIsTheSumOfTheBytes) {
  std::string payload;
  for (unsigned sum = 0; payload.size() < 1000; sum += static_cast<unsigned char>(payload.back())) {
    const std::string packet = gdb_packet(payload);
    const std::string digits{"0123456789abcdef"};
    ASSERT_EQ(packet.substr(packet.size() - 2), (std::string{digits[sum / 16 % 16], digits[sum % 16]}));
    payload += static_cast<char>('A' + payload.size() * 7 % 100);
  }
}

TEST(GdbPackets, EscapesAndRunLengthsAreExpanded) {
  EXPECT_EQ(expand_gdb_payload("plain", 5), "plain");
  EXPECT_EQ(expand_gdb_payload("0* ", 4), "0000"); // ' ' is 32: three more
  EXPECT_EQ(expand_gdb_payload("a}\x03}\x04}]}\x0a", 9), "a#$}*");
  EXPECT_EQ(expand_gdb_payload("}\x03* ", 4), "####");
  EXPECT_EQ(expand_gdb_payload("plain", 4), std::nullopt) << "larger than allowed";
  EXPECT_EQ(expand_gdb_payload("0*~", 97), std::nullopt);
  EXPECT_EQ(expand_gdb_payload("0*~", 98)->size(), 98U);
  for (const char* text : {"}", "a}", "*!", "a*", "a*\x10"}) {
    EXPECT_EQ(expand_gdb_payload(text, 100), std::nullopt) << text;
  }
}

TEST(GdbPacketReader, KindsOfInput) {
  GdbPacketReader reader;
  reader.feed("+-%Stop:T05#99$OK#9b$OK#9a");
  const auto expect_next = [&](GdbInput::Kind kind, std::string_view text) {
    const GdbInput input = reader.take();
    EXPECT_EQ(input.kind, kind);
    EXPECT_EQ(input.text, text);
  };
  expect_next(GdbInput::Kind::resend, "");
  expect_next(GdbInput::Kind::notification, "Stop:T05");
  expect_next(GdbInput::Kind::damaged, "");
  expect_next(GdbInput::Kind::packet, "OK");
  expect_next(GdbInput::Kind::incomplete, "");
  reader.feed("hello");
  expect_next(GdbInput::Kind::malformed, "hello");
}

/// Many packets may have come with one read: only a single one is limited.
TEST(GdbPacketReader, LimitIsThatOfOnePacket) {
  GdbPacketReader reader{100};
  const std::string packet = gdb_packet(std::string(90, 'x'));
  for (int i = 0; i < 50; ++i) {
    reader.feed(packet);
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(reader.take().kind, GdbInput::Kind::packet);
  }
  reader.feed(gdb_packet(std::string(101, 'x')));
  EXPECT_EQ(reader.take().kind, GdbInput::Kind::too_large);
}

TEST(GdbPacketReader, PacketsInPieces) {
  GdbPacketReader reader;
  const std::string stream = "+$OK#9a++$#00";
  std::string found;
  for (const char c : stream) {
    reader.feed({&c, 1});
    for (auto packet = reader.next(); packet && *packet; packet = reader.next()) {
      found += "[" + **packet + "]";
    }
  }
  EXPECT_EQ(found, "[OK][]");
}

TEST(GdbPacketReader, BadStreams) {
  for (const std::string stream : {"-", "hello", "$OK#9b", "$OK#zz", "+-$OK#9a"}) {
    GdbPacketReader reader;
    reader.feed(stream);
    const auto packet = reader.next();
    ASSERT_FALSE(packet) << stream;
    EXPECT_EQ(packet.error().kind, ErrorKind::source_failed);
  }
}

TEST(GdbPacketReader, PacketWithoutEnd) {
  GdbPacketReader reader;
  reader.feed("$" + std::string(1000, 'x'));
  EXPECT_EQ(reader.next().value(), std::nullopt);
  reader.feed(std::string(100000, 'x'));
  EXPECT_FALSE(reader.next());
}

} // namespace
} // namespace vmemfs
