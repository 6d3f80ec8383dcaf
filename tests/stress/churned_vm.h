// A small real QEMU that comes and goes, and how one knows its directory in a mount.
#pragma once

#include "support/child_process.h"
#include "support/files.h"

#include <cstdint>
#include <string>

namespace vmemfs::test {

/// Runs when constructed and QEMU answers on its monitor. Its memory holds a marker that no other has.
/// Throws std::runtime_error where QEMU does not come up.
class ChurnedVm {
public:
  /// `number`: of all VMs of a run, never twice; chooses also how its memory is backed and whether it stands.
  explicit ChurnedVm(std::uint64_t number);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool runs() const { return runs(number_); }

  /// Whether the mount has a directory of its name with its marker in its memory.
  [[nodiscard]] bool is_shown_in(const std::string& mountpoint) const;

  /// By SIGKILL or by SIGTERM. False where SIGTERM did not end it within three seconds, so that it took
  /// SIGKILL: QEMU 7.2 can lock itself up (in monitor_cleanup()) when any client's command comes just then.
  bool end();

  /// Or does it stand from its start on.
  static bool runs(std::uint64_t number) { return number % 4 == 0; }

private:
  const std::uint64_t number_;
  const std::string name_;
  TempDir dir_;
  ChildProcess process_;
};

} // namespace vmemfs::test
