// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/option_text.h"

#include <algorithm>

namespace vmemfs::qemu {
namespace {

/// Removes the next item from the front of `text`, up to a single comma. A double comma means one comma.
std::string take_piece(std::string_view& text) {
  std::string piece;
  std::size_t i = 0;
  for (; i < text.size(); ++i) {
    if (text[i] == ',') {
      if (i + 1 >= text.size() || text[i + 1] != ',') {
        break;
      }
      ++i;
    }
    piece += text[i];
  }
  text.remove_prefix(std::min(i + 1, text.size()));
  return piece;
}

} // namespace

Options parse_options(std::string_view text, std::string_view implied_key) {
  Options options;
  for (bool first = true; !text.empty(); first = false) {
    const std::string piece = take_piece(text);
    const std::size_t equals = piece.find('=');
    if (equals != std::string::npos) {
      options[piece.substr(0, equals)] = piece.substr(equals + 1);
    } else if (first && !implied_key.empty()) {
      options[std::string{implied_key}] = piece;
    } else if (piece.starts_with("no") && piece.size() > 2) { // "nowait"; no key here begins with "no"
      options[piece.substr(2)] = "off";
    } else {
      options[piece] = "on";
    }
  }
  return options;
}

std::string value_of(const Options& options, std::string_view key) {
  const auto found = options.find(key);
  return found == options.end() ? std::string{} : found->second;
}

bool is_on(const Options& options, std::string_view key) {
  const std::string value = value_of(options, key);
  return value == "on" || value == "yes" || value == "true" || value == "y";
}

bool is_off(const Options& options, std::string_view key) {
  const std::string value = value_of(options, key);
  return value == "off" || value == "no" || value == "false" || value == "n";
}

} // namespace vmemfs::qemu
