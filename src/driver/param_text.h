// Parameters as text: KEY=VALUE, separated by commas, as after `--vm NAME=DRIVER:`.
//
// A value with commas, with quotes, or with spaces at its ends stands in double quotes; in quotes, a
// backslash takes the next character as it is (\" is a quote, \\ a backslash). Elsewhere a backslash is
// one, and everything but comma and quote stands for itself: also '=', ':' and spaces within.
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
  std::vector<std::string> problems; ///< sentences for the user; what they are about is not in `pairs`
};

[[nodiscard]] ParsedPairs parse_pairs(std::string_view text);

/// The text that parse_pairs() reads as `pairs`. Keys have neither '=' nor ','.
[[nodiscard]] std::string format_pairs(std::span<const KeyValue> pairs);

} // namespace vmemfs
