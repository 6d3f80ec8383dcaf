// SPDX-License-Identifier: MIT
#include "linux/isf/json_text.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace vmemfs::isf {
namespace {

bool is_plain(char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; }

} // namespace

void JsonText::content(std::string_view text) {
  if (std::ranges::all_of(text, is_plain)) {
    raw(text);
    return;
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::size_t kEscaped = 6;
  std::string escaped;
  escaped.reserve(kEscaped * text.size());
  for (const char c : text) {
    if (is_plain(c)) {
      escaped += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      escaped += "\\u00";
      escaped += kHex[byte >> 4U];
      escaped += kHex[byte & 0xfU];
    }
  }
  raw(escaped);
}

} // namespace vmemfs::isf
