// SPDX-License-Identifier: MIT
#include "fs/files/text/event_text.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <vector>

namespace vmemfs {
namespace {

using Json = nlohmann::json;
using std::chrono::microseconds;
using std::chrono::system_clock;

system_clock::time_point at(std::int64_t since_epoch_us) {
  return system_clock::time_point{microseconds{since_epoch_us}};
}

TEST(EventText, Line_HasFourFieldsInOrder) {
  // date -u -d @1764168612 +%FT%T
  const Event event{7, at(1'764'168'612'000'305), "web01", EventKind::paused, "by vmemfs"};
  EXPECT_EQ(event_line(event), R"({"time":"2025-11-26T14:50:12.000305Z","vm":"web01","event":"paused",)"
                               R"("detail":"by vmemfs"})"
                               "\n");
}

TEST(EventText, Time_AtTheEdges) {
  const auto time_of = [](system_clock::time_point time) {
    return Json::parse(event_line({0, time, "", EventKind::reset, ""}))["time"].get<std::string>();
  };
  EXPECT_EQ(time_of(at(0)), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(time_of(at(-1)), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(time_of(at(951'782'399'999'999)), "2000-02-28T23:59:59.999999Z");
  EXPECT_EQ(time_of(at(951'782'400'000'000)), "2000-02-29T00:00:00.000000Z");
}

TEST(EventText, EachKind_HasANameOfItsOwn) {
  std::vector<std::string> names;
  for (const EventKind kind : kEventKinds) {
    names.push_back(Json::parse(event_line({0, at(0), "", kind, ""}))["event"].get<std::string>());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"added", "removed", "paused", "resumed", "reset", "layout",
                                             "vcpus", "error"}));
}

TEST(EventText, HostileText_IsOneLineOfValidJson) {
  const std::string hostile{"a\nb\r\"\\\x1b\0c\xff\xe2\x82", 12};
  const std::string line = event_line({0, at(0), hostile, EventKind::error, hostile});
  EXPECT_EQ(std::ranges::count(line, '\n'), 1);
  EXPECT_EQ(line.back(), '\n');
  EXPECT_TRUE(std::ranges::none_of(line.substr(0, line.size() - 1),
                                   [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
  const std::string replaced{"a\nb\r\"\\\x1b\0c\xef\xbf\xbd\xef\xbf\xbd", 15}; // U+FFFD
  const Json json = Json::parse(line);
  EXPECT_EQ(json["vm"].get<std::string>(), replaced);
  EXPECT_EQ(json["detail"].get<std::string>(), replaced);
}

TEST(EventText, MissedEvents_AreReportedAsAnEvent) {
  const Json json = Json::parse(missed_line(12, at(0)));
  EXPECT_EQ(json, (Json{{"time", "1970-01-01T00:00:00.000000Z"},
                        {"vm", ""},
                        {"event", "missed"},
                        {"detail", "12 events"}}));
}

TEST(EventText, ValidUtf8_ReplacesOnlyWhatIsInvalid) {
  EXPECT_EQ(valid_utf8(""), "");
  EXPECT_EQ(valid_utf8("\xc3\xa4\n\"\\ \xf0\x9f\x90\xa7"), "\xc3\xa4\n\"\\ \xf0\x9f\x90\xa7");
  EXPECT_EQ(valid_utf8("a\x80z"), "a\xef\xbf\xbdz");
  EXPECT_EQ(valid_utf8("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd"); // an overlong '/'
}

} // namespace
} // namespace vmemfs
