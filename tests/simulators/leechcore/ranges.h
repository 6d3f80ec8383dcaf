// SPDX-License-Identifier: MIT
// Memory map of the stand-in, with the quirks of LeechCore's text of it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace vmemfs::test::stand_in {

struct Range {
  std::uint64_t base;
  std::uint64_t top; ///< inclusive
  std::uint64_t remap;
};

/// Numbers are padded with blanks, so a line does not look like what may be set.
inline std::string to_text(const std::vector<Range>& ranges) {
  std::string text;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    char line[80];
    static_cast<void>(std::snprintf(line, sizeof line, "%04zx %16llx - %16llx -> %16llx\n", i,
                                    static_cast<unsigned long long>(ranges[i].base),
                                    static_cast<unsigned long long>(ranges[i].top),
                                    static_cast<unsigned long long>(ranges[i].remap)));
    text += line;
  }
  return text;
}

/// Replaces everything. Anything but hexadecimal digits separates numbers, in comments too, so that words of
/// these may be taken for numbers; an index is recognized only if it begins with 00; what is not a range
/// after the one before is left out, without an error.
inline std::vector<Range> from_text(const std::string& text) {
  std::vector<Range> ranges;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 4 && line.starts_with("00") && line[4] == ' ') {
      line.erase(0, 4);
    }
    for (char& letter : line) {
      letter =
          std::string_view{"0123456789abcdefABCDEF"}.find(letter) == std::string_view::npos ? ' ' : letter;
    }
    std::istringstream words{line};
    std::uint64_t base = 0;
    std::uint64_t top = 0;
    std::uint64_t remap = 0;
    if (!(words >> std::hex >> base >> top)) {
      continue;
    }
    if (!(words >> std::hex >> remap) || remap == 0) {
      remap = base;
    }
    const bool pages = base % 4096 == 0 && (top + 1) % 4096 == 0 && base < top;
    if (pages && (ranges.empty() || ranges.back().top < base)) {
      ranges.push_back({base, top, remap});
    }
  }
  return ranges;
}

/// The address at the device; nothing in a hole.
inline std::optional<std::uint64_t> translate(const std::vector<Range>& ranges, std::uint64_t address,
                                              std::uint64_t size) {
  for (const Range& range : ranges) {
    if (range.base <= address && address <= range.top && size <= range.top - address + 1) {
      return range.remap + (address - range.base);
    }
  }
  return std::nullopt;
}

} // namespace vmemfs::test::stand_in
