// SPDX-License-Identifier: MIT
#include "fs/files/text/event_text.h"

#include "core/text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace vmemfs {
namespace {

using Json = nlohmann::ordered_json;
using Time = std::chrono::system_clock::time_point;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string line(Time time, std::string_view vm, std::string_view event, std::string_view detail) {
  return dump({{"time", utc_text(time, SecondDigits::six)},
               {"vm", vm},
               {"event", event},
               {"detail", detail}}) +
         '\n';
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
