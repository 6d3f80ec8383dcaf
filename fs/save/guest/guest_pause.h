// SPDX-License-Identifier: MIT
// Pause of a guest that ends with this process.
#pragma once

#include "core/error.h"
#include "fs/save/guest/mounted_vm.h"
#include "util/unique_fd.h"

#include <chrono>
#include <optional>
#include <utility>

namespace vmemfs {

/// Ends the attachment of the VM to its mount. The text of an error has the reason.
[[nodiscard]] Result<void> detach_vm(const MountedVm& vm);

/// A `pause hold` of the VM's control file: the guest is paused for as long as this handle is open. The
/// kernel closes it however this process ends, SIGKILL included, and the daemon resumes the guest then. No
/// child process inherits the handle. What somebody else paused stays paused.
class GuestPause {
public:
  using Clock = std::chrono::steady_clock;

  /// Returns when the guest is paused.
  [[nodiscard]] static Result<GuestPause> begin(const MountedVm& vm);

  /// Releases the guest; the daemon resumes it.
  void end();

  [[nodiscard]] Clock::time_point begun() const { return begun_; }
  /// From the end of begin() to end(); nothing while it lasts.
  [[nodiscard]] std::optional<Clock::duration> length() const { return length_; }

private:
  GuestPause(UniqueFd control, Clock::time_point begun) : control_{std::move(control)}, begun_{begun} {}

  UniqueFd control_;
  Clock::time_point begun_;
  std::optional<Clock::duration> length_{};
};

} // namespace vmemfs
