// SPDX-License-Identifier: MIT
// The worker process of one VM: a program of its own, which loads LeechCore.
#pragma once

#include "core/error.h"
#include "host/child/spawned_process.h"

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
  explicit WorkerProcess(std::unique_ptr<SpawnedProcess> process) : process_{std::move(process)} {}

  [[nodiscard]] pid_t pid() const { return process_->pid(); }
  [[nodiscard]] int pidfd() const { return process_->pidfd(); } ///< readable once it has ended
  /// With all processes that the library has started, unless they left the session.
  void kill() const { process_->kill(); }
  /// Such as "it was killed by signal 11", or "it closed its socket" if it has not ended.
  [[nodiscard]] std::string how_it_ended() const;

private:
  const std::unique_ptr<SpawnedProcess> process_;
};

} // namespace vmemfs::leechcore
