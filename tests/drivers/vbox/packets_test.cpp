// SPDX-License-Identifier: MIT
// Requests byte by byte, as the tables of the protocol have them, and which replies are taken.
#include "drivers/vbox/link/packets.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace vmemfs::vbox {
namespace {

std::vector<int> head(const Request& request) {
  std::vector<int> bytes;
  for (std::size_t i = 0; i < request.head_bytes; ++i) {
    bytes.push_back(std::to_integer<int>(request.head[i]));
  }
  return bytes;
}

using Bytes = std::vector<int>;

TEST(FdpPackets, Simple_IsTheOpcode) {
  EXPECT_EQ(head(simple_request(Opcode::memory_size, 8)), Bytes({6}));
  EXPECT_EQ(head(simple_request(Opcode::pause, 1)), Bytes({7}));
  EXPECT_EQ(head(simple_request(Opcode::cpu_count, 4)), Bytes({22}));
}

TEST(FdpPackets, State_HasACpu) {
  EXPECT_EQ(head(state_request()), Bytes({16, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(state_request().reply_bytes, 1U);
}

TEST(FdpPackets, Read_HasAddressAt8AndSizeAt16) {
  const Request request = read_request(Gpa{0x1'2345'6000}, 0x10000);
  EXPECT_EQ(head(request),
            Bytes({2, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 0x45, 0x23, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(request.bytes(), 24U);
  EXPECT_EQ(request.reply_bytes, 0x10000U);
}

TEST(FdpPackets, Write_HasDataAt20_AndFourSurplusBytes) {
  const std::vector<std::byte> data(100, std::byte{0x5a});
  const Request request = write_request(Gpa{0x6000}, data);
  EXPECT_EQ(head(request), Bytes({14, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0}));
  EXPECT_EQ(request.bytes(), 124U);
  EXPECT_EQ(request.tail_bytes(), 4U);
  EXPECT_LE(kMaxWrite, (std::size_t{1} << 20U) - 24);
}

TEST(FdpPackets, Registers_HaveTheIdAt8AndTheValueAt16) {
  EXPECT_EQ(head(read_register_request(VcpuId{3}, 0x131)), Bytes({3, 0, 0, 0, 3, 0, 0, 0, 0x31, 1, 0, 0}));
  EXPECT_EQ(head(write_register_request(VcpuId{3}, 16, 0x8877665544332211)),
            Bytes({18, 0, 0, 0, 3,    0,    0,    0,    16,   0,    0,    0,
                   0,  0, 0, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}));
  EXPECT_EQ(head(read_msr_request(VcpuId{1}, 0xC0000080)),
            Bytes({4, 0, 0, 0, 1, 0, 0, 0, 0x80, 0, 0, 0xC0, 0, 0, 0, 0}));
  EXPECT_EQ(head(write_msr_request(VcpuId{1}, 0xC0000080, 1)),
            Bytes({5, 0, 0, 0, 1, 0, 0, 0, 0x80, 0, 0, 0xC0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(FdpPackets, Reply_IsTakenOnlyWithItsSizeAndStatus) {
  const Request read = read_request(Gpa{0}, 4096);
  EXPECT_EQ(judge({4096, 1}, read), Verdict::done);
  EXPECT_EQ(judge({1, 0}, read), Verdict::refused);
  for (const ReplyHeader& header : {ReplyHeader{4096, 0},
                                    {4096, 2},
                                    {4095, 1},
                                    {4097, 1},
                                    {0, 0},
                                    {0, 1},
                                    {1, 1},
                                    {2, 0},
                                    {0xffffffff, 1}}) {
    EXPECT_EQ(judge(header, read), Verdict::out_of_step) << header.size << " " << int{header.status};
  }
  EXPECT_EQ(judge({1, 1}, read_request(Gpa{0}, 1)), Verdict::done);
}

TEST(FdpPackets, Number_IsLittleEndian) {
  const std::vector<std::byte> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  EXPECT_EQ(number_of(bytes), 0x030201U);
  EXPECT_EQ(number_of(std::vector<std::byte>(20, std::byte{0xff})), 0xffffffffffffffffU);
  EXPECT_EQ(number_of({}), 0U);
}

TEST(FdpPackets, State_HasABitEach) {
  EXPECT_FALSE(state_of(0).paused);
  EXPECT_TRUE(state_of(1).paused);
  EXPECT_FALSE(state_of(1 | 4).at_breakpoint);
  EXPECT_TRUE(state_of(1 | 2).at_breakpoint);
  EXPECT_TRUE(state_of(1 | 8).at_breakpoint);
}

} // namespace
} // namespace vmemfs::vbox
