// SPDX-License-Identifier: MIT
#include "core/text.h"

#include "core/duration.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <ctime>
#include <fmt/format.h>
#include <iterator>
#include <limits>

namespace vmemfs {
namespace {

std::optional<std::uint64_t> parse_base(std::string_view text, int base) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value, base);
  if (text.empty() || result.ec != std::errc{} || result.ptr != end) {
    return std::nullopt;
  }
  return value;
}

bool is_hex(std::string_view text) { return text.starts_with("0x") || text.starts_with("0X"); }

/// Splits "64MiB" in 64 and "mib" (lower case).
std::optional<std::pair<std::uint64_t, std::string>> number_and_unit(std::string_view text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_base(text.substr(0, digits), 10);
  if (!number) {
    return std::nullopt;
  }
  std::string unit{text.substr(digits)};
  std::ranges::transform(unit, unit.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::pair{*number, std::move(unit)};
}

} // namespace

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    pieces.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return pieces;
}

std::optional<std::uint64_t> parse_hex(std::string_view text) { return parse_base(text, 16); }

std::optional<std::uint64_t> parse_u64(std::string_view text) {
  if (is_hex(text)) {
    return parse_hex(text.substr(2));
  }
  return parse_base(text, 10);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto parsed = number_and_unit(text);
  if (!parsed) {
    return parse_u64(text);
  }
  auto [number, unit] = *parsed;
  constexpr std::string_view kUnits = "kmgt";
  unsigned shift = 0;
  if (!unit.empty() && unit != "b") {
    const std::size_t index = kUnits.find(unit.front());
    const std::string_view rest = std::string_view{unit}.substr(1);
    if (index == std::string_view::npos || !(rest.empty() || rest == "b" || rest == "ib")) {
      return is_hex(text) ? parse_u64(text) : std::nullopt;
    }
    shift = 10 * (static_cast<unsigned>(index) + 1);
  }
  if (number > (std::numeric_limits<std::uint64_t>::max() >> shift)) {
    return std::nullopt;
  }
  return number << shift;
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const auto parsed = number_and_unit(text);
  if (!parsed) {
    return std::nullopt;
  }
  const auto& [number, unit] = *parsed;
  const auto found = std::ranges::find(kDurationUnits, unit, &DurationUnit::name);
  if (found == kDurationUnits.end()) {
    return number == 0 && unit.empty() ? std::optional{std::chrono::milliseconds{0}} : std::nullopt;
  }
  constexpr std::chrono::milliseconds kMax = std::chrono::days{365}; // far from an overflow
  if (number > static_cast<std::uint64_t>(kMax / found->length)) {
    return std::nullopt;
  }
  return static_cast<std::chrono::milliseconds::rep>(number) * found->length;
}

std::string utc_text(std::chrono::system_clock::time_point time, SecondDigits digits) {
  using std::chrono::duration_cast;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t since_epoch = seconds.time_since_epoch().count();
  std::tm utc{};
  ::gmtime_r(&since_epoch, &utc);
  const auto fraction = digits == SecondDigits::three
                            ? duration_cast<std::chrono::milliseconds>(time - seconds).count()
                            : duration_cast<std::chrono::microseconds>(time - seconds).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:0{}}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, fraction, static_cast<int>(digits));
}

std::optional<std::uint32_t> parse_mode(std::string_view text) {
  constexpr std::size_t kMaxDigits = 4;
  const auto mode = parse_base(text, 8);
  return mode && text.size() <= kMaxDigits ? std::optional{static_cast<std::uint32_t>(*mode)} : std::nullopt;
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string safe;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\') {
      safe += c;
    } else {
      safe += fmt::format("\\x{:02x}", byte);
    }
  }
  if (text.size() > limit) {
    safe += "...";
  }
  return safe;
}

} // namespace vmemfs
