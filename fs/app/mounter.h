// SPDX-License-Identifier: MIT
// The daemon's side of the process that mounts and unmounts: see fs/app/mounter_process.h for the other.
//
// Mounting and unmounting take rights that nothing else does, so a small process has them and the daemon that
// reads what guests and VMMs say has not. It also sees to it that no dead mount stays when the daemon has
// been killed.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace vmemfs {

/// What is to be mounted where.
struct MountRequest {
  std::string mountpoint;           ///< absolute
  std::vector<std::string> options; ///< FUSE mount options, one each
};

class Mounter {
public:
  /// Forks: before any thread is made, before rights are given up.
  static Result<Mounter> start(const MountRequest& request);
  Mounter(Mounter&& other) noexcept;
  Mounter(const Mounter&) = delete;
  Mounter& operator=(const Mounter&) = delete;
  Mounter& operator=(Mounter&&) = delete;
  ~Mounter(); ///< as unmount()

  /// The /dev/fuse of the fresh mount.
  [[nodiscard]] Result<UniqueFd> mount();

  /// Unmounts what mount() made, if it is still there, without waiting for those who use it. The process
  /// ends.
  void unmount();

private:
  Mounter(pid_t pid, UniqueFd socket) : pid_{pid}, socket_{std::move(socket)} {}

  pid_t pid_;
  UniqueFd socket_; ///< empty: the process was told to end
};

} // namespace vmemfs
