// SPDX-License-Identifier: MIT
// The kernel's statistics of this process.
#pragma once

#include "core/error.h"

#include <cstdint>

namespace vmemfs {

struct ProcessStats {
  double cpu_seconds; ///< user and system
  std::uint64_t resident_bytes;
  std::uint64_t open_fds;
  std::uint64_t threads;
  double start_time_seconds; ///< since the Unix epoch
};

[[nodiscard]] Result<ProcessStats> process_stats();

} // namespace vmemfs
