// SPDX-License-Identifier: MIT
#include "e2e/guest_layout.h"

#include <algorithm>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace vmemfs::test {

// Regular expressions here, a hand-written parser in the driver: the two share no code.
std::vector<TrueRange> true_ranges(const std::string& mtree) {
  static const std::regex kView{R"(^FlatView #\d+)"};
  static const std::regex kSpace{R"re(^ AS "memory",.*)re"};
  static const std::regex kRange{
      R"(^\s+([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (ram|rom|romd|nv-ram)\): (\S+).*)"};
  std::vector<TrueRange> ranges;
  bool wanted = false;
  std::istringstream lines{mtree};
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::remove(line.begin(), line.end(), '\r'), line.end());
    std::smatch match;
    if (std::regex_search(line, kView)) {
      if (wanted) {
        break;
      }
    } else if (std::regex_match(line, kSpace)) {
      wanted = true;
    } else if (wanted && std::regex_match(line, match, kRange)) {
      ranges.push_back(
          {std::stoull(match[1], nullptr, 16), std::stoull(match[2], nullptr, 16) + 1, match[3], match[4]});
    }
  }
  if (ranges.empty()) {
    throw std::runtime_error{"no ranges in: " + mtree};
  }
  std::ranges::sort(ranges, {}, &TrueRange::begin);
  return ranges;
}

} // namespace vmemfs::test
