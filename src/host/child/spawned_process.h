// SPDX-License-Identifier: MIT
// A child process that runs another program: its life and its end.
#pragma once

#include "core/error.h"
#include "host/child/spawn.h"
#include "util/unique_fd.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>

namespace vmemfs {

/// Its number is nobody else's until the end of this object, which reaps it. Const functions may be called by
/// any thread.
class SpawnedProcess {
public:
  /// The errors of spawn(), and that it cannot be watched; then it has ended.
  static Result<std::unique_ptr<SpawnedProcess>> start(const SpawnedProgram& program,
                                                       std::string_view origin);
  /// Does not wait: a process that has not ended goes on.
  ~SpawnedProcess();
  SpawnedProcess(const SpawnedProcess&) = delete;
  SpawnedProcess& operator=(const SpawnedProcess&) = delete;
  /// Used by start().
  SpawnedProcess(pid_t pid, UniqueFd pidfd) : pid_{pid}, pidfd_{std::move(pidfd)} {}

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); } ///< readable once it has ended

  /// Whether it has ended within the limit. No WorkLimit ends the wait.
  bool wait_for_end(std::chrono::milliseconds limit) const;
  /// Also all processes that it has started, unless they left its session.
  void kill() const;
  /// Such as "it was killed by signal 11"; nothing if it has not ended.
  [[nodiscard]] std::optional<std::string> how_it_ended() const;

private:
  const pid_t pid_; ///< a zombie at least, as it is waited for at the end
  const UniqueFd pidfd_;
};

} // namespace vmemfs
