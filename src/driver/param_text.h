// SPDX-License-Identifier: MIT
// Text form of parameters: KEY=VALUE, separated by commas, such as after `--vm NAME=DRIVER:`.
//
// A value with commas, with quotes, or with spaces at its ends is enclosed in double quotes; inside quotes,
// a backslash escapes the next character (\" is a quote, \\ a backslash). Elsewhere a backslash is literal,
// as is everything but comma and quote, also '=', ':' and inner spaces.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

struct KeyValue {
  std::string key;
  std::string value;

  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};

struct ParsedPairs {
  std::vector<KeyValue> pairs;
  std::vector<std::string> problems; ///< sentences for the user; the text with problems is not in `pairs`
};

[[nodiscard]] ParsedPairs parse_pairs(std::string_view text);

/// The text that parse_pairs() reads as `pairs`. Keys have neither '=' nor ','.
[[nodiscard]] std::string format_pairs(std::span<const KeyValue> pairs);

} // namespace vmemfs
