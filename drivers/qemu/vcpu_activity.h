// SPDX-License-Identifier: MIT
// Whether vCPU threads have run: a paused VM's do not.
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

namespace vmemfs::qemu {

/// Of a fixed set of threads. Movable; const methods may be called from any thread.
class VcpuActivity {
public:
  /// `threads` are numbered as QEMU itself sees them (its pid namespace); doubles are one. Fails where one
  /// can't be watched: no such thread, or a kernel without counters.
  static Result<VcpuActivity> open(const Process& process, std::span<const pid_t> threads);

  /// A number that is another one whenever any of the threads has been put on a CPU in between; nullopt
  /// where one has ended. Costs about a microsecond for each thread.
  [[nodiscard]] std::optional<std::uint64_t> sample() const;

  /// False while one of the threads runs or waits for a CPU.
  [[nodiscard]] bool all_asleep() const;

  /// As open() was given them, sorted, without doubles.
  [[nodiscard]] const std::vector<pid_t>& threads() const { return threads_; }

private:
  /// Files in /proc/PID/task/TID, which are of that very thread, however long they are kept.
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

} // namespace vmemfs::qemu
