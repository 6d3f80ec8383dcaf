// SPDX-License-Identifier: MIT
#include "image/lime.h"

#include <gtest/gtest.h>
#include <string>

namespace vmemfs {
namespace {

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Spelled out once more: magic, version, first and last address, eight reserved bytes.
TEST(Lime, Headers_AreThoseOfVersion1) {
  const std::vector<GpaRange> ranges{{Gpa{0x1000}, Gpa{0x9fc00}}, {Gpa{0x1'0000'0000}, Gpa{0x1'8000'0000}}};
  using namespace std::string_literals;
  EXPECT_EQ(text_of(lime_headers(ranges)), "EMiL\x01\0\0\0"
                                           "\x00\x10\0\0\0\0\0\0"
                                           "\xff\xfb\x09\0\0\0\0\0"
                                           "\0\0\0\0\0\0\0\0"
                                           "EMiL\x01\0\0\0"
                                           "\0\0\0\0\x01\0\0\0"
                                           "\xff\xff\xff\x7f\x01\0\0\0"
                                           "\0\0\0\0\0\0\0\0"s);
}

TEST(Lime, Layout_EachRangeFollowsItsHeader) {
  const std::vector<GpaRange> ranges{{Gpa{0x1000}, Gpa{0x3000}}, {Gpa{0x8000}, Gpa{0x9000}}};
  const ImageLayout layout = lime_layout(ranges);
  const auto parts = layout.parts_from(0);
  ASSERT_EQ(parts.size(), 4U);
  EXPECT_EQ(parts[0].source, ImageLayout::Source::made);
  EXPECT_EQ(parts[0].size(), 32U);
  EXPECT_EQ(parts[1].begin, 32U);
  EXPECT_EQ(parts[1].source_begin, 0x1000U);
  EXPECT_EQ(parts[2].source_begin, 32U) << "the second header follows the first in the made bytes";
  EXPECT_EQ(parts[3].begin, 32U + 0x2000 + 32);
  EXPECT_EQ(layout.size(), lime_bytes(ranges));
  EXPECT_EQ(layout.size(), 0x3000U + 64);
  EXPECT_EQ(layout.made_bytes(), 64U);
}

TEST(Lime, NoRanges_Empty) {
  EXPECT_EQ(lime_bytes({}), 0U);
  EXPECT_EQ(lime_layout({}).size(), 0U);
  EXPECT_TRUE(lime_headers({}).empty());
}

} // namespace
} // namespace vmemfs
