// SPDX-License-Identifier: MIT
// Activity of vCPU threads: detects whether they have run. Those of a paused VM do not.
#pragma once

#include "core/error.h"
#include "host/process.h"
#include "util/unique_fd.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace vmemfs {

/// Watches a fixed set of threads. Movable; const methods are thread-safe.
class VcpuActivity {
public:
  /// `threads` are numbered in the process's own pid namespace; duplicates are ignored. Fails if a thread
  /// cannot be watched: no such thread, or a kernel without counters.
  static Result<VcpuActivity> open(const Process& process, std::span<const pid_t> threads);

  /// A number that changes whenever any of the threads is scheduled on a CPU; nullopt if one has ended. Costs
  /// about a microsecond per thread.
  [[nodiscard]] std::optional<std::uint64_t> sample() const;

  /// False while one of the threads runs or waits for a CPU.
  [[nodiscard]] bool all_asleep() const;

  /// The threads passed to open(), sorted, without duplicates.
  [[nodiscard]] const std::vector<pid_t>& threads() const { return threads_; }

private:
  /// Open files in /proc/PID/task/TID. They refer to the same thread as long as they are open, even if its
  /// number is reused.
  struct Files {
    UniqueFd schedstat;
    UniqueFd stat;
  };

  VcpuActivity(std::vector<pid_t> threads, std::vector<Files> files)
      : threads_{std::move(threads)}, files_{std::move(files)} {}

  static Result<Files> open_files(const std::string& directory);

  std::vector<pid_t> threads_;
  std::vector<Files> files_;
};

} // namespace vmemfs
