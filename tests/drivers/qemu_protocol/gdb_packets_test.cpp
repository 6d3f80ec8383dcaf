// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/gdb_packets.h"

#include <gtest/gtest.h>
#include <string>

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
