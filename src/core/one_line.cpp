// SPDX-License-Identifier: MIT
#include "core/one_line.h"

#include "core/text.h"

namespace vmemfs {

std::string one_line(std::string_view text) {
  std::string joined;
  for (const std::string_view line : split(text, '\n')) {
    if (const std::string_view content = trim(line); !content.empty()) {
      joined += joined.empty() ? "" : joined.ends_with(':') ? " " : "; ";
      joined += content;
    }
  }
  return joined;
}

} // namespace vmemfs
