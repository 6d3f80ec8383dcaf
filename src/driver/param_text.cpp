// SPDX-License-Identifier: MIT
#include "driver/param_text.h"

#include "core/text.h"

#include <algorithm>
#include <cstddef>
#include <fmt/format.h>
#include <optional>
#include <utility>

namespace vmemfs {
namespace {

/// More than any driver has. Without a limit, a text of commas would cost a hundred times its size in
/// problems.
constexpr std::size_t kMaxPairs = 1000;

/// Removes one value from the start of `text`, including the comma after it that is not quoted. nullopt if
/// a quote is not closed; then all text is consumed.
std::optional<std::string> take_value(std::string_view& text) {
  std::string value;
  std::size_t kept = 0; // size of `value` without trailing spaces
  bool quoted = false;
  std::size_t i = 0;
  for (; i < text.size() && (quoted || text[i] != ','); ++i) {
    if (text[i] == '"') {
      quoted = !quoted;
    } else if (quoted && text[i] == '\\' && i + 1 < text.size()) {
      value += text[++i];
    } else if (quoted || text[i] != ' ' || !value.empty()) {
      value += text[i];
    }
    if (quoted || text[i] != ' ') {
      kept = value.size();
    }
  }
  text.remove_prefix(std::min(i + 1, text.size()));
  if (quoted) {
    return std::nullopt;
  }
  value.resize(kept);
  return value;
}

bool needs_quotes(std::string_view value) {
  return value.find_first_of(",\"") != std::string_view::npos || value.starts_with(' ') ||
         value.ends_with(' ');
}

std::string in_quotes(std::string_view value) {
  std::string text{'"'};
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      text += '\\';
    }
    text += c;
  }
  return text + '"';
}

} // namespace

ParsedPairs parse_pairs(std::string_view text) {
  ParsedPairs parsed;
  while (!text.empty()) {
    if (parsed.pairs.size() + parsed.problems.size() == kMaxPairs) {
      parsed.problems.push_back(fmt::format("there are more than {} parameters", kMaxPairs));
      break;
    }
    const std::size_t end = std::min(text.find_first_of("=,"), text.size());
    const std::string_view key = trim(text.substr(0, end));
    if (end == text.size() || text[end] == ',') {
      parsed.problems.push_back(fmt::format("'{}' is not KEY=VALUE", printable(key)));
      text.remove_prefix(std::min(end + 1, text.size()));
      continue;
    }
    text.remove_prefix(end + 1);
    if (auto value = take_value(text)) {
      parsed.pairs.push_back({std::string{key}, std::move(*value)});
    } else {
      parsed.problems.push_back(
          fmt::format("{}: a quote is not closed; write {}=\"like this\"", printable(key), printable(key)));
    }
  }
  return parsed;
}

std::string format_pairs(std::span<const KeyValue> pairs) {
  std::string text;
  for (const auto& [key, value] : pairs) {
    text +=
        fmt::format("{}{}={}", text.empty() ? "" : ",", key, needs_quotes(value) ? in_quotes(value) : value);
  }
  return text;
}

} // namespace vmemfs
