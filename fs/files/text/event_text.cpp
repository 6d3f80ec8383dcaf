// SPDX-License-Identifier: MIT
#include "fs/files/text/event_text.h"

#include <ctime>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace vmemfs {
namespace {

using Json = nlohmann::ordered_json;
using Time = std::chrono::system_clock::time_point;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// As 2026-11-24T14:50:12.345678Z.
std::string time_text(Time time) {
  using std::chrono::microseconds;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t since_epoch = seconds.time_since_epoch().count();
  std::tm utc{};
  ::gmtime_r(&since_epoch, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     std::chrono::duration_cast<microseconds>(time - seconds).count());
}

std::string line(Time time, std::string_view vm, std::string_view event, std::string_view detail) {
  return dump({{"time", time_text(time)}, {"vm", vm}, {"event", event}, {"detail", detail}}) + '\n';
}

} // namespace

std::string event_line(const Event& event) {
  return line(event.time, event.vm, to_string(event.kind), event.detail);
}

std::string missed_line(std::uint64_t events, Time time) {
  return line(time, "", "missed", fmt::format("{} events", events));
}

std::string valid_utf8(std::string_view text) { return Json::parse(dump(text)).get<std::string>(); }

} // namespace vmemfs
