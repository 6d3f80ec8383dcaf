// SPDX-License-Identifier: MIT
// Rows of linux/mounts, made from what a guest prints of its own /proc/1/mountinfo.
#pragma once

#include <algorithm>
#include <fmt/format.h>
#include <sstream>
#include <string>
#include <vector>

namespace vmemfs::test {

inline std::vector<std::string> words(const std::string& line) {
  std::istringstream text{line};
  std::vector<std::string> found;
  for (std::string word; text >> word;) {
    found.push_back(word);
  }
  return found;
}

/// The row of a line of mountinfo, without the options that only the filesystem knows.
inline std::string mount_row(const std::string& line) {
  const auto fields = words(line);
  const auto dash = std::ranges::find(fields, "-");
  if (fields.size() < 10 || fields.end() - dash < 4) {
    return line;
  }
  std::string point = fields[4];
  if (const auto space = point.find("\\040"); space != std::string::npos) {
    point.replace(space, 4, " ");
  }
  const bool read_only = fields[5].starts_with("ro") || dash[3].starts_with("ro");
  return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}{}", fields[0], fields[1], fields[2], fields[3], point,
                     dash[1], dash[2], read_only ? "ro" : "rw", fields[5].substr(2));
}

} // namespace vmemfs::test
