// SPDX-License-Identifier: MIT
#include "driver/params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using testing::HasSubstr;

const std::vector<ParamSpec> kSpecs{
    {"path", ParamType::text, true, "", "a path", "/x"},
    {"size", ParamType::size, false, "1M", "a size", "2M"},
    {"limit", ParamType::duration, false, "", "a duration", "1s"},
    {"keep", ParamType::flag, false, "off", "a flag", "on"},
    {"map", ParamType::choice, false, "auto", "a choice", "one", {"auto", "one"}},
    {.name = "count", .type = ParamType::number, .range = {2, 5}},
    {.name = "room", .type = ParamType::size, .range = {.min = 4096}},
    {.name = "wait", .type = ParamType::duration, .range = {1, 120'000}},
    {.name = "mode", .type = ParamType::mode, .range = {.max = 0666}},
    {.name = "owner", .type = ParamType::user},
    {.name = "group", .type = ParamType::group},
};

TEST(Params, Parse_YieldsValuesAndFallbacks) {
  const auto params = Params::parse("path=/a/b,limit=2s,keep=on", kSpecs);
  ASSERT_TRUE(params.has_value()) << params.error().message();
  EXPECT_EQ(params->text("path"), "/a/b");
  EXPECT_EQ(params->number("size"), 1U << 20U);
  EXPECT_EQ(params->duration("limit"), std::chrono::seconds{2});
  EXPECT_TRUE(params->flag("keep"));
  EXPECT_EQ(params->text("map"), "auto");
  EXPECT_FALSE(Params::parse("path=x", kSpecs)->has("limit"));
}

TEST(Params, QuotedValue_KeepsCommasEqualsSignsSpacesAndQuotes) {
  const auto params = Params::parse(R"(path="/a, b=\"c\" \\",size=1)", kSpecs);
  ASSERT_TRUE(params.has_value()) << params.error().message();
  EXPECT_EQ(params->text("path"), R"(/a, b="c" \)");
  EXPECT_EQ(Params::parse("path=a=b c", kSpecs)->text("path"), "a=b c");
}

TEST(Params, SeveralProblems_AllReported) {
  const auto params = Params::parse("pth=x,size=big,keep=maybe,map=two,limit=5w", kSpecs);
  ASSERT_FALSE(params.has_value());
  for (const char* part : {"no parameter 'pth'", "known: path, size", "size: 'big'", "keep: 'maybe'",
                           "on or off", "map: 'two'", "auto, one", "limit: '5w'", "path is missing"}) {
    EXPECT_THAT(params.error().text, HasSubstr(part));
  }
}

struct BadParams {
  const char* text;
  const char* complaint;
};
class ParamsBad : public testing::TestWithParam<BadParams> {};

TEST_P(ParamsBad, Parse_IsRefused) {
  const auto params = Params::parse(GetParam().text, kSpecs);
  ASSERT_FALSE(params.has_value());
  EXPECT_EQ(params.error().kind, ErrorKind::invalid);
  EXPECT_THAT(params.error().text, HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    Texts, ParamsBad,
    testing::Values(
        BadParams{"", "path is missing; for example path=/x"}, BadParams{"size=1M", "path is missing"},
        BadParams{"path", "'path' is not KEY=VALUE"}, BadParams{"path=a,,", "not KEY=VALUE"},
        BadParams{"path=file://file=x,volatile=1",
                  "; a value with a comma takes double quotes: path=\"file://file=x,volatile=1\""},
        BadParams{"path=\"a", "quote is not closed"}, BadParams{"path=a,path=b", "given twice"},
        BadParams{"path=", "path: '' is not allowed; it takes text"}, BadParams{"=a", "no parameter ''"},
        BadParams{"count=1", "count: '1' is not allowed; it takes a number, 2 to 5"},
        BadParams{"count=6", "2 to 5"}, BadParams{"count=x", "a number"}, BadParams{"count=-3", "a number"},
        BadParams{"room=4095", "a size (bytes, or with K, M, G, T), at least 4K"},
        BadParams{"wait=0ms", "a duration (a number with ms, s, m, h or d), 1ms to 2m"},
        BadParams{"wait=5", "wait: '5' is not allowed; it takes a duration (a number with ms, s, m, h or d)"},
        BadParams{"wait=3m", "1ms to 2m"}, BadParams{"mode=0777", "permission bits in octal, of 0666"},
        BadParams{"mode=8", "permission bits"}, BadParams{"mode=00600", "permission bits"},
        BadParams{"owner=no-such-user", "a user of this host"},
        BadParams{"owner=4294967295", "a user of this host"},
        BadParams{"group=no-such-group", "a group of this host"}));

TEST(Params, ValueAtLimit_IsAllowed) {
  for (const char* text : {"count=2", "count=5", "room=4K", "wait=1ms", "wait=2m", "mode=0666", "mode=0",
                           "owner=root", "owner=4294967294", "group=root"}) {
    const auto params = Params::parse(std::string{"path=x,"} + text, kSpecs);
    EXPECT_TRUE(params.has_value()) << params.error().message();
  }
  EXPECT_EQ(Params::parse("path=x,mode=640", kSpecs)->mode("mode"), 0640U);
  EXPECT_EQ(Params::parse("path=x,owner=root", kSpecs)->user("owner"), 0U);
}

TEST(Params, HexNumber_IsTheSameInBothCases) {
  EXPECT_EQ(Params::parse("path=x,count=0x3", kSpecs)->number("count"), 3U);
  EXPECT_EQ(Params::parse("path=x,count=0X3", kSpecs)->number("count"), 3U);
}

TEST(Params, ValueWithNul_IsRefused) {
  const std::string_view text{"path=/a\0b", 9}; // the system would open /a
  const auto params = Params::parse(text, kSpecs);
  ASSERT_FALSE(params.has_value());
  EXPECT_THAT(params.error().text, HasSubstr("path: '/a\\x00b' is not allowed; it takes text"));
}

TEST(Params, UnknownAfterANumber_HasNoHintOfQuotes) {
  const auto params = Params::parse("path=x,count=3,volatile=1", kSpecs);
  ASSERT_FALSE(params.has_value());
  EXPECT_THAT(params.error().text, testing::Not(HasSubstr("quotes")));
}

TEST(Params, Describe_ListsAllowedValues) {
  const std::string text = describe(kSpecs);
  for (const char* part :
       {"path  text, required", "map  one of auto, one, default auto", "count  a number, 2 to 5",
        "size  a size (bytes, or with K, M, G, T), default 1M", "example: limit=1s"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

} // namespace
} // namespace vmemfs
