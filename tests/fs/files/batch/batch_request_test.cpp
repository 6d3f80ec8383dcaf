// SPDX-License-Identifier: MIT
#include "fs/files/batch/batch_request.h"

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace vmemfs {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string binary(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& ranges) {
  std::string bytes = "VMBATCH1";
  for (const auto& range : ranges) {
    for (const std::uint64_t number : {range.first, range.second}) {
      for (unsigned shift = 0; shift < 64; shift += 8) {
        bytes += static_cast<char>(number >> shift);
      }
    }
  }
  return bytes;
}

std::string reason(std::string_view written) {
  const auto parsed = parse_batch(written);
  EXPECT_FALSE(parsed);
  EXPECT_EQ(parsed ? ErrorKind::busy : parsed.error().kind, ErrorKind::invalid);
  return parsed ? "" : parsed.error().text;
}

TEST(BatchRequest, Binary_HasThePairs) {
  const auto parsed = parse_batch(binary({{0x1000, 16}, {0xffff'ffff'ffff'fff8, 4096}, {0, 0}}));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->form, BatchForm::binary);
  ASSERT_EQ(parsed->ranges.size(), 3U);
  EXPECT_EQ(parsed->ranges[0].gpa, Gpa{0x1000});
  EXPECT_EQ(parsed->ranges[0].size, 16U);
  EXPECT_EQ(parsed->ranges[1].gpa, Gpa{0xffff'ffff'ffff'fff8});
  EXPECT_EQ(parsed->bytes, 4112U);
}

TEST(BatchRequest, Text_HasTheLines) {
  const auto parsed = parse_batch("0x1000 16\n\n  4096\t0x10 \r\n18446744073709551615 1\n");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->form, BatchForm::text);
  ASSERT_EQ(parsed->ranges.size(), 3U);
  EXPECT_EQ(parsed->ranges[1].gpa, Gpa{4096});
  EXPECT_EQ(parsed->ranges[1].size, 16U);
  EXPECT_EQ(parsed->ranges[2].gpa, Gpa{~std::uint64_t{0}});
  EXPECT_EQ(parsed->bytes, 33U);
}

TEST(BatchRequest, Text_ContinuesTextButNotBinary) {
  const auto both = parse_batch("2 20\n", *parse_batch("1 10\n"));
  ASSERT_TRUE(both);
  EXPECT_EQ(both->ranges.size(), 2U);
  EXPECT_EQ(both->bytes, 30U);
  EXPECT_EQ(parse_batch("2 20\n", *parse_batch(binary({{1, 10}})))->bytes, 20U);
  EXPECT_EQ(parse_batch(binary({{2, 20}}), *parse_batch("1 10\n"))->bytes, 20U);
}

TEST(BatchRequest, TextCutAnywhere_IsTheSame) {
  const std::string text = "0x1000 16\n4096 1\n 7 8 \n0x20 0x30";
  for (std::size_t size = 1; size < text.size(); ++size) {
    BatchRequest request;
    for (std::size_t at = 0; at < text.size(); at += size) {
      auto more = parse_batch(text.substr(at, size), std::move(request));
      ASSERT_TRUE(more) << more.error().text;
      request = std::move(*more);
    }
    const auto whole = complete_batch(std::move(request));
    ASSERT_TRUE(whole);
    ASSERT_EQ(whole->ranges.size(), 4U) << size;
    EXPECT_EQ(whole->ranges[3].gpa, Gpa{0x20});
    EXPECT_EQ(whole->bytes, 16U + 1 + 8 + 0x30);
  }
  EXPECT_THAT(complete_batch(*parse_batch("1 1\n2")).error().text, HasSubstr("'2' is not"));
}

TEST(BatchRequest, Malformed_SaysWhatAndWhere) {
  EXPECT_THAT(reason("VMBATCH1"), HasSubstr("there is no range after 'VMBATCH1'"));
  EXPECT_THAT(reason(binary({{1, 2}}) + "x"), HasSubstr("17 bytes after"));
  EXPECT_THAT(reason("VMBATCH2\n"), HasSubstr("line 1: 'VMBATCH2'"));
  EXPECT_THAT(reason(""), HasSubstr("there is no range"));
  EXPECT_THAT(reason("\n \n"), HasSubstr("there is no range"));
  EXPECT_THAT(reason(std::string(129, '1')), HasSubstr("line 1: a line has at most 128 bytes"));
  EXPECT_THAT(reason("1 1\n0x1000-0x2000\n"), HasSubstr("line 2: '0x1000-0x2000'"));
  for (const char* const line : {"1", "1 ", "x 1", "1 x", "1 1 1", "-1 1", "1 -1", "+1 1", "0x 1", "1,1",
                                 "18446744073709551616 1", "0x10000000000000000 1", "\x01\xff 1"}) {
    EXPECT_THAT(reason(std::string{line} + '\n'), HasSubstr("line 1: '")) << line;
  }
  EXPECT_THAT(reason(std::string("1 1\n\0 1\n", 8)), HasSubstr("line 2: '\\x00 1'"));
}

TEST(BatchRequest, PartOfABinaryRequest_HasTheRemedy) {
  const std::string request = binary(std::vector<std::pair<std::uint64_t, std::uint64_t>>(20, {0x1000, 8}));
  EXPECT_THAT(reason(request.substr(24)), HasSubstr("begins with 'VMBATCH1' and comes in one write"));
  EXPECT_THAT(reason(request.substr(24, 16) + "\n"), HasSubstr("comes in one write"));
  EXPECT_THAT(reason(request.substr(0, 20)), HasSubstr("comes in one write"));
  EXPECT_THAT(reason("x 1\n"), Not(HasSubstr("one write")));
}

TEST(BatchRequest, Limits_AreExact) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges(kMaxBatchRanges, {0, 1});
  EXPECT_EQ(parse_batch(binary(ranges))->ranges.size(), kMaxBatchRanges);
  ranges.emplace_back(0, 0);
  EXPECT_THAT(reason(binary(ranges)), HasSubstr("more than 65000 ranges"));

  EXPECT_EQ(parse_batch(binary({{0, kMaxBatchBytes - 1}, {0, 1}}))->bytes, kMaxBatchBytes);
  EXPECT_THAT(reason(binary({{0, kMaxBatchBytes}, {0, 1}})), HasSubstr("at most 16777216 bytes"));
  EXPECT_THAT(reason(binary({{0, 1}, {0, ~std::uint64_t{0}}})), HasSubstr("at most 16777216 bytes"));
  EXPECT_EQ(parse_batch("0 1048576\n")->bytes, kMaxBatchTextBytes);
  EXPECT_THAT(reason("0 1048577\n"), HasSubstr("in text gets at most 1048576 bytes"));

  EXPECT_TRUE(parse_batch("1 1\n" + std::string(kMaxBatchRequest - 4, '\n')));
  EXPECT_THAT(reason("1 1\n" + std::string(kMaxBatchRequest - 3, '\n')), HasSubstr("at most 1044480"));
  BatchRequest lines;
  lines.form = BatchForm::text;
  lines.ranges.assign(kMaxBatchRanges, {});
  EXPECT_FALSE(parse_batch("0 0\n", lines));
}

} // namespace
} // namespace vmemfs
