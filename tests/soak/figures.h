// SPDX-License-Identifier: MIT
// Figures of what processes take of the host, from /proc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace vmemfs::test {

struct ProcessFigures {
  std::uint64_t rss_kib = 0;
  std::size_t descriptors = 0;
  std::size_t threads = 0;
  double cpu_seconds = 0;
};

/// All zero if there is no such process.
[[nodiscard]] ProcessFigures figures_of(pid_t pid);

/// Names of processes that have ended and that nobody has waited for.
[[nodiscard]] std::vector<std::string> zombies();

} // namespace vmemfs::test
