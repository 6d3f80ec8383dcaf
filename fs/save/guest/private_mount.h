// SPDX-License-Identifier: MIT
// Mount of one VM for one save: the daemon as a child process, on a directory that only this user can enter.
//
// A process beside it, the keeper, ends the daemon and removes the directory when this process ends, however
// it does; as for every mount, the daemon's own helpers unmount and resume the guest if the daemon is killed.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <stop_token>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs {

/// Source of such mounts in /proc/self/mountinfo: they are nobody else's.
inline constexpr std::string_view kPrivateMountSource = "vmemfs-save";

/// Whether a text names a VM by DRIVER:KEY=VALUE,... (see driver/vm_spec.h), and not a path that exists.
[[nodiscard]] bool is_vm_spec(const std::string& text);

/// Not thread-safe.
class PrivateMount {
public:
  /// Mounts the VM that the daemon takes as `--vm SPEC`, and waits until it is there. The error has what the
  /// daemon said.
  [[nodiscard]] static Result<PrivateMount> start(const std::string& spec, const std::stop_token& stop);
  ~PrivateMount(); ///< ends the mount, within seconds
  PrivateMount(const PrivateMount&) = delete;
  PrivateMount& operator=(const PrivateMount&) = delete;
  PrivateMount(PrivateMount&& other) noexcept;
  PrivateMount& operator=(PrivateMount&&) = delete;

  [[nodiscard]] const std::string& vm() const { return vm_; } ///< directory of the VM

private:
  struct Place; ///< paths, made before the fork
  PrivateMount(UniqueFd life, pid_t keeper) : life_{std::move(life)}, keeper_{keeper} {}

  [[nodiscard]] Result<void> wait_until_mounted(const Place& place, const UniqueFd& log,
                                                const std::stop_token& stop);
  [[noreturn]] static void keep(const Place& place, int life, int log);
  static void run_daemon(const Place& place, int log);
  static void remove(const Place& place);

  UniqueFd life_; ///< the keeper waits for its end
  pid_t keeper_;  ///< -1: it was waited for
  std::string vm_{};
};

} // namespace vmemfs
