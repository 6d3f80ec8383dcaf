// SPDX-License-Identifier: MIT
// Daemon's side of the mounter, the process that mounts and unmounts. The other side is
// fs/mounter/mounter_process.h.
//
// Only mounting and unmounting need certain privileges, so a small process has them, and the daemon, which
// parses data of guests and VMMs, does not. The process also removes the dead mount if the daemon was killed.
#pragma once

#include "core/error.h"
#include "fs/mounter/mount_request.h"
#include "util/unique_fd.h"

#include <sys/types.h>
#include <utility>

namespace vmemfs {

class Mounter {
public:
  /// Forks: call on the main thread, before any other is created and before privileges are given up.
  static Result<Mounter> start(const MountRequest& request);
  Mounter(Mounter&& other) noexcept;
  Mounter(const Mounter&) = delete;
  Mounter& operator=(const Mounter&) = delete;
  Mounter& operator=(Mounter&&) = delete;
  ~Mounter(); ///< as unmount()

  /// Mounts and returns the /dev/fuse descriptor of the new mount.
  [[nodiscard]] Result<UniqueFd> mount();

  /// Unmounts the mount that mount() made, if it still exists, without waiting for its users. The process
  /// ends.
  void unmount();

private:
  Mounter(pid_t pid, UniqueFd socket) : pid_{pid}, socket_{std::move(socket)} {}

  pid_t pid_;
  UniqueFd socket_; ///< empty: the process was asked to end
};

} // namespace vmemfs
