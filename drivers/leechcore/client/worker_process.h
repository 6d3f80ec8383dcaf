// SPDX-License-Identifier: MIT
// The worker process of one VM: a program of its own, which loads LeechCore.
#pragma once

#include "core/error.h"
#include "host/process.h"
#include "util/unique_fd.h"

#include <memory>
#include <string>

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
  /// Waits up to a second for the process, which ends when its socket is closed; then kills it.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;
  /// Used by start().
  explicit WorkerProcess(Process process) : process_{std::move(process)} {}

  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  [[nodiscard]] int pidfd() const { return process_.pidfd(); } ///< readable once it has ended
  void kill() const;
  /// Such as "it was killed by signal 11", or "it did not end" if it has not.
  [[nodiscard]] std::string how_it_ended() const;

private:
  const Process process_;
};

} // namespace vmemfs::leechcore
