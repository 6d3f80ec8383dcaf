// SPDX-License-Identifier: MIT
#include "core/duration.h"
#include "core/text.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using std::chrono::milliseconds;

TEST(Text, Numbers) {
  EXPECT_EQ(parse_u64("0"), 0U);
  EXPECT_EQ(parse_u64("18446744073709551615"), ~std::uint64_t{0});
  EXPECT_EQ(parse_u64("0xffffffffffffffff"), ~std::uint64_t{0});
  EXPECT_EQ(parse_hex("ff"), 255U);
  for (const char* bad : {"", " 1", "1 ", "+1", "-1", "0x", "0xg", "18446744073709551616", "1.5", "x"}) {
    EXPECT_EQ(parse_u64(bad), std::nullopt) << bad;
  }
}

TEST(Text, Sizes) {
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("0x1000"), 4096U);
  EXPECT_EQ(parse_size("0X1000"), 4096U);
  EXPECT_EQ(parse_size("64M"), std::uint64_t{64} << 20U);
  EXPECT_EQ(parse_size("64mib"), std::uint64_t{64} << 20U);
  EXPECT_EQ(parse_size("2GB"), std::uint64_t{2} << 30U);
  EXPECT_EQ(parse_size("1T"), std::uint64_t{1} << 40U);
  EXPECT_EQ(parse_size("1k"), 1024U);
  for (const char* bad : {"", "M", "1Mx", "1ib", "-1M", "99999999999T", "1 M"}) {
    EXPECT_EQ(parse_size(bad), std::nullopt) << bad;
  }
}

TEST(Text, Durations) {
  EXPECT_EQ(parse_duration("0"), milliseconds{0}); // the same in each unit
  EXPECT_EQ(parse_duration("100ms"), milliseconds{100});
  EXPECT_EQ(parse_duration("5s"), milliseconds{5000});
  EXPECT_EQ(parse_duration("2m"), milliseconds{120'000});
  EXPECT_EQ(parse_duration("24h"), milliseconds{86'400'000});
  EXPECT_EQ(parse_duration("1D"), milliseconds{86'400'000});
  EXPECT_EQ(parse_duration("365d"), std::chrono::days{365});
  for (const char* bad :
       {"", "s", "5", "00005", "-5s", "0.5s", "2m30s", "5 s", "1w", "366d", "99999999999999s"}) {
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
  }
}

TEST(Text, DurationText_LargestUnitWithoutRest) {
  EXPECT_EQ(duration_text(milliseconds{0}), "0ms");
  EXPECT_EQ(duration_text(milliseconds{1500}), "1500ms");
  EXPECT_EQ(duration_text(milliseconds{90'000}), "90s");
  EXPECT_EQ(duration_text(milliseconds{600'000}), "10m");
  EXPECT_EQ(duration_text(std::chrono::hours{36}), "36h");
  EXPECT_EQ(duration_text(std::chrono::days{1}), "1d");
}

TEST(Text, SplitAndTrim) {
  EXPECT_EQ(split("a,b,,c", ','), (std::vector<std::string_view>{"a", "b", "", "c"}));
  EXPECT_EQ(split("a\n", '\n'), (std::vector<std::string_view>{"a"}));
  EXPECT_TRUE(split("", ',').empty());
  EXPECT_EQ(trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
}

TEST(Text, PrintableHidesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("plain"), "plain");
  EXPECT_EQ(printable("\x1b[2J\\"), "\\x1b[2J\\x5c");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

TEST(Text, UtcText_HasTheFractionOfTheSecond) {
  const std::chrono::system_clock::time_point time{std::chrono::seconds{1'790'000'000} +
                                                   std::chrono::microseconds{45'678}};
  EXPECT_EQ(utc_text(time, SecondDigits::three), "2026-09-21T14:13:20.045Z");
  EXPECT_EQ(utc_text(time, SecondDigits::six), "2026-09-21T14:13:20.045678Z");
}

} // namespace
} // namespace vmemfs
