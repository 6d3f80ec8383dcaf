// SPDX-License-Identifier: MIT
// The worker process of one VM: a program of its own, which loads LeechCore.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <memory>
#include <string>
#include <sys/types.h>
#include <utility>

namespace vmemfs::leechcore {

/// Has the rights of the process that starts it, and its own session. Const functions may be called by any
/// thread.
class WorkerProcess {
public:
  struct Ends {
    int socket; ///< the worker's end; the caller closes both
    int memory;
    int output; ///< its standard output and error
  };

  /// source_failed or another kind of a failed system call: it could not be started, with the remedy.
  static Result<std::unique_ptr<WorkerProcess>> start(const std::string& program, const Ends& ends);
  /// Waits up to a second for the process, which ends when its socket is closed; then kills it, and what it
  /// has left.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;
  /// Used by start().
  WorkerProcess(pid_t pid, UniqueFd pidfd) : pid_{pid}, pidfd_{std::move(pidfd)} {}

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); } ///< readable once it has ended
  void kill() const; ///< with all processes that the library has started, unless they left the session
  /// Such as "it was killed by signal 11", or "it closed its socket" if it has not ended.
  [[nodiscard]] std::string how_it_ended() const;

private:
  const pid_t pid_; ///< a zombie at least, until it is waited for at the end
  const UniqueFd pidfd_;
};

} // namespace vmemfs::leechcore
