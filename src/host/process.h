// SPDX-License-Identifier: MIT
// Reference to a process of this host that cannot be confused with a later process of the same pid.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace vmemfs {

/// Holds a pidfd, so that alive() refers to this process even if its pid is reused. Movable; const methods
/// may be called from any thread.
class Process {
public:
  /// not_found: no such process. vm_gone: it ended meanwhile.
  static Result<Process> open(pid_t pid);

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); } ///< readable once the process has ended

  /// Start time in clock ticks since boot; with the pid it identifies a process uniquely.
  [[nodiscard]] std::uint64_t start_time() const { return start_time_; }

  /// Time since the start, to a hundredth of a second.
  [[nodiscard]] std::chrono::milliseconds age() const;

  /// False once the process has ended, zombie included. One system call, no allocation. Data read by pid
  /// belongs to this process if alive() is true afterwards.
  [[nodiscard]] bool alive() const;

  /// The process's own open file, shared with it (pidfd_getfd); empty with errno set on failure.
  [[nodiscard]] UniqueFd duplicate_fd(int fd) const;

private:
  Process(pid_t pid, UniqueFd pidfd, std::uint64_t start_time)
      : pid_{pid}, pidfd_{std::move(pidfd)}, start_time_{start_time} {}

  pid_t pid_;
  UniqueFd pidfd_;
  std::uint64_t start_time_;
};

/// FoundVm::key and VmIdentity::key of a VM that is this process, for every driver.
[[nodiscard]] std::string process_key(const Process& process);

/// All visible processes, in no particular order; empty if /proc is unreadable.
[[nodiscard]] std::vector<pid_t> list_pids();

/// Arguments as given to exec. Empty for kernel threads and zombies.
[[nodiscard]] Result<std::vector<std::string>> command_line(pid_t pid);

/// Path of the executable as the kernel reports it, with " (deleted)" at the end if it was replaced.
[[nodiscard]] Result<std::string> exe_path(pid_t pid);

/// Short name, at most 15 bytes, without the newline. Chosen by the process: not trusted.
[[nodiscard]] Result<std::string> comm(pid_t pid);

/// Numbers of the open descriptors, in no particular order; at most `limit` of them.
[[nodiscard]] Result<std::vector<int>> list_fds(pid_t pid,
                                                std::size_t limit = std::numeric_limits<std::size_t>::max());

/// What descriptor `fd` of `pid` refers to, as the kernel shows it: a path, "anon_inode:kvm-vm", ...
[[nodiscard]] Result<std::string> fd_target(pid_t pid, int fd);

/// Field 22 (start time) of a /proc/PID/stat line. The name may contain blanks and brackets.
[[nodiscard]] Result<std::uint64_t> parse_start_time(std::string_view stat);

/// Whole contents of a small file under /proc. At most `limit` bytes, more is an error.
[[nodiscard]] Result<std::string> read_proc_file(const std::string& path, std::size_t limit = 64 << 20);

/// The remedy if the kernel denies access to the memory of `pid`: a clause for an error text.
[[nodiscard]] std::string access_remedy(pid_t pid);

} // namespace vmemfs
