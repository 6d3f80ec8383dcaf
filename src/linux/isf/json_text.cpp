// SPDX-License-Identifier: MIT
#include "linux/isf/json_text.h"

#include <algorithm>
#include <cstddef>
#include <fmt/format.h>
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
  for (const char c : text) {
    if (is_plain(c)) {
      raw({&c, 1});
    } else {
      raw(fmt::format("\\u{:04x}", static_cast<unsigned char>(c)));
    }
  }
}

} // namespace vmemfs::isf
