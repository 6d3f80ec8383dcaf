// SPDX-License-Identifier: MIT
// A small real QEMU that starts and ends, and the check of its directory in a mount.
#pragma once

#include "support/child_process.h"
#include "support/files.h"

#include <cstdint>
#include <string>

namespace vmemfs::test {

/// Runs once constructed, when QEMU answers on its monitor. Its memory contains a unique marker. Throws
/// std::runtime_error if QEMU does not start.
class ChurnedVm {
public:
  /// `number`: unique in a test run; selects how memory is backed and whether the VM starts paused.
  explicit ChurnedVm(std::uint64_t number);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool runs() const { return runs(number_); }

  /// Whether the mount has a directory of its name with its marker in its memory.
  [[nodiscard]] bool is_shown_in(const std::string& mountpoint) const;

  void signal(int number) const { process_.signal(number); }

  /// Whether QEMU's guest runs, as its monitor says. Throws std::runtime_error if it does not answer.
  [[nodiscard]] bool is_running() const;

  /// Ends QEMU by SIGKILL or by SIGTERM. False if SIGTERM did not end it within three seconds, so that
  /// SIGKILL was needed: QEMU 7.2 can deadlock (in monitor_cleanup()) if a client sends a command at that
  /// moment.
  bool end();

  /// False if it was started paused.
  static bool runs(std::uint64_t number) { return number % 4 == 0; }

private:
  const std::uint64_t number_;
  const std::string name_;
  TempDir dir_;
  ChildProcess process_;
};

} // namespace vmemfs::test
