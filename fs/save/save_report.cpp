// SPDX-License-Identifier: MIT
#include "fs/save/save_report.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <climits>
#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace vmemfs {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormatVersion = 1;

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// A line of `maps`: START-END perms kind block+offset, where block may have blanks.
Json range_json(std::string_view line) {
  const auto next_word = [&line] {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return word;
  };
  const std::string_view range = next_word();
  const std::string_view permissions = next_word();
  const std::string_view kind = next_word();
  const std::size_t plus = std::min(line.rfind('+'), line.size());
  const auto begin = parse_hex(range.substr(0, range.find('-')));
  const auto end = parse_hex(range.substr(std::min(range.find('-') + 1, range.size())));
  return {{"begin", fmt::format("{:#x}", begin.value_or(0))},
          {"end", fmt::format("{:#x}", end.value_or(0))},
          {"writable", permissions.find('w') != std::string_view::npos},
          {"kind", kind},
          {"block", line.substr(0, plus)},
          {"offset", line.substr(std::min(plus + 1, line.size()))}};
}

struct Ranges {
  Json listed = Json::array();
  std::uint64_t not_listed = 0;
};

Ranges ranges_of(std::string_view maps) {
  constexpr std::size_t kMaxListed = 65536;
  Ranges ranges;
  while (!maps.empty()) {
    const std::string_view line = maps.substr(0, maps.find('\n'));
    maps.remove_prefix(std::min(line.size() + 1, maps.size()));
    if (line.empty()) {
      continue;
    }
    if (ranges.listed.size() < kMaxListed) {
      ranges.listed.push_back(range_json(line));
    } else {
      ++ranges.not_listed;
    }
  }
  return ranges;
}

Json unreadable_json(const SaveReport& report) {
  Json ranges = Json::array();
  for (const ByteRange& range : report.unreadable) {
    ranges.push_back({{"begin", range.begin}, {"end", range.end}});
  }
  Json pages = Json::array();
  if (report.at_end && report.refused_reads() > 0) {
    pages = report.at_end->refused_pages;
  }
  return {{"bytes", report.unreadable_bytes},
          {"ranges", ranges},
          {"ranges_are", report.packed ? "guest_addresses" : "image_offsets"},
          {"not_listed", report.unreadable_not_listed},
          {"refused_page_reads", report.refused_reads()},
          {"refused_pages", pages}};
}

Json guest_json(const SaveReport& report) {
  return {{"state_before", report.before.state},
          {"state_after", report.state_after},
          {"epoch_begin", report.epoch_begin},
          {"epoch_end", report.at_end ? Json(report.at_end->epoch) : Json(nullptr)},
          {"changed", report.guest_changed()},
          {"ranges_changed", report.maps_changed}};
}

Json image_json(const SaveReport& report) {
  const std::string name = std::filesystem::path{report.file}.filename();
  return {{"file", name},
          {"format", report.format},
          {"source", report.source},
          {"bytes", report.bytes},
          {"data_bytes", report.data_bytes},
          {"sha256", report.sha256},
          {"complete", report.is_whole()}};
}

} // namespace

std::string_view to_string(SaveMode mode) {
  switch (mode) {
  case SaveMode::live: return "live";
  case SaveMode::paused: return "paused";
  case SaveMode::saved: return "saved";
  }
  return "unknown";
}

bool SaveReport::guest_changed() const { return !at_end || at_end->epoch != epoch_begin || maps_changed; }

std::uint64_t SaveReport::refused_reads() const {
  return at_end && at_end->refused_reads > before.refused_reads ? at_end->refused_reads - before.refused_reads
                                                                : 0;
}

bool SaveReport::is_whole() const {
  const bool moved = mode == SaveMode::paused && guest_changed();
  return unreadable_bytes == 0 && refused_reads() == 0 && at_end.has_value() && !moved;
}

std::string sidecar_text(const SaveReport& report) {
  const Ranges ranges = ranges_of(report.maps);
  const Json json{
      {"format_version", kFormatVersion},
      {"vmemfs_version", VMEMFS_VERSION},
      {"host", host_name()},
      {"vm",
       {{"name", report.before.name},
        {"uuid", report.before.uuid},
        {"driver", report.before.driver},
        {"directory", report.directory}}},
      {"image", image_json(report)},
      {"started", utc_text(report.started, SecondDigits::three)},
      {"ended", utc_text(report.ended, SecondDigits::three)},
      {"duration_ms",
       std::chrono::duration_cast<std::chrono::milliseconds>(report.ended - report.started).count()},
      {"mode", to_string(report.mode)},
      {"pause_ms", report.pause ? Json(report.pause->count()) : Json(nullptr)},
      {"guest", guest_json(report)},
      {"ranges", ranges.listed},
      {"ranges_not_listed", ranges.not_listed},
      {"unreadable", unreadable_json(report)},
  };
  constexpr int kIndent = 2;
  // Names come from outside and may be invalid UTF-8, or have control characters of terminals.
  return json.dump(kIndent, ' ', true, Json::error_handler_t::replace) + '\n';
}

} // namespace vmemfs
