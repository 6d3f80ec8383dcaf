// SPDX-License-Identifier: MIT
#include "fs/config/toml_limits.h"

#include <algorithm>

namespace vmemfs {
namespace {

/// Removes a string from the front of `text`, which begins with its quote; returns what it removed. A string
/// that is not closed ends with its line, or with the text if it may have several lines; the parser refuses
/// it.
std::string_view take_string(std::string_view& text) {
  const char quote = text.front();
  const std::size_t quotes = std::min(text.find_first_not_of(quote), text.size());
  const bool several_lines = quotes >= 3;
  std::size_t end = several_lines ? 3 : 1;
  std::size_t closing = 0;
  while (end < text.size() && closing < (several_lines ? 3U : 1U) && (several_lines || text[end] != '\n')) {
    closing = text[end] == quote ? closing + 1 : 0;
    end += quote == '"' && text[end] == '\\' ? 2 : 1;
  }
  for (unsigned more = 0; several_lines && more < 2 && end < text.size() && text[end] == quote; ++more) {
    ++end; // it may end in two quotes of its own
  }
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(taken.size());
  return taken;
}

} // namespace

std::optional<std::size_t> line_of_long_key(std::string_view toml) {
  std::size_t line = 1;
  std::size_t parts = 1;
  std::size_t open_brackets = 0;
  while (!toml.empty()) {
    const char c = toml.front();
    if (c == '"' || c == '\'') {
      const std::string_view taken = take_string(toml);
      line += static_cast<std::size_t>(std::ranges::count(taken, '\n'));
      continue;
    }
    if (c == '#') {
      toml.remove_prefix(std::min(toml.find('\n'), toml.size()));
      continue;
    }
    if (c == '[' || c == '{') {
      ++open_brackets;
    } else if ((c == ']' || c == '}') && open_brackets > 0) {
      --open_brackets;
    } else if (c == '.' && ++parts > kMaxKeyParts) {
      return line;
    } else if (c == '\n') {
      ++line;
      parts = open_brackets == 0 ? 1 : parts;
    }
    toml.remove_prefix(1);
  }
  return std::nullopt;
}

} // namespace vmemfs
