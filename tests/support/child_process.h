// SPDX-License-Identifier: MIT
// A program started by a test, ended with it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace vmemfs::test {

class ChildProcess {
public:
  /// Starts args[0] (found by PATH) with standard output and error going to the file `output`.
  /// Throws std::system_error.
  ChildProcess(const std::vector<std::string>& args, const std::string& output);
  ~ChildProcess(); ///< SIGKILL, if it still runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// The exit code, or 128 + signal; nothing if it still runs after `limit`.
  std::optional<int> wait(std::chrono::milliseconds limit);

private:
  pid_t pid_;
  std::optional<int> status_;
};

/// Children of a process that have this short name (comm) and have not ended.
[[nodiscard]] std::vector<pid_t> children_of(pid_t parent, const std::string& name);

/// True where there is no such process, or only what is left of it until it is reaped.
[[nodiscard]] bool has_ended(pid_t pid);

/// Runs to the end: exit code, or 128 + signal; output (both streams) in `text`.
struct RunResult {
  int code;
  std::string text;
};
[[nodiscard]] RunResult run(const std::vector<std::string>& args);

} // namespace vmemfs::test
