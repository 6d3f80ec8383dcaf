// SPDX-License-Identifier: MIT
// Daemon's side of the mounter, the process that mounts and unmounts. The other side is
// fs/mounter/mounter_process.h.
//
// Only mounting and unmounting need certain privileges, so a small process has them, and the daemon, which
// parses data of guests and VMMs, does not. The process also removes the dead mount if the daemon was killed.
#pragma once

#include "core/error.h"
#include "fs/mounter/backing_ids.h"
#include "fs/mounter/mount_request.h"
#include "util/unique_fd.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>

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

  /// Mounts and returns the /dev/fuse descriptor of the new mount, once the standby exists.
  [[nodiscard]] Result<UniqueFd> mount();

  /// The backing ids of the mount that has this device. Null: out of descriptors.
  [[nodiscard]] std::unique_ptr<BackingIds> backing_ids(int device) const;

  /// Unmounts the mount that mount() made, if it still exists, without waiting for its users. The process
  /// ends. Logs what has to be done by hand if it was killed, and its standby too.
  void unmount();

  /// Readable when the process has ended. -1: it cannot be watched.
  [[nodiscard]] int pidfd() const { return process_.get(); }

  /// After pidfd() became readable: reaps the process. A sentence for the user if it was killed; nothing if
  /// it ended with the mount. May be called on another thread than the rest.
  [[nodiscard]] std::optional<std::string> take_end();

private:
  Mounter(pid_t pid, UniqueFd process, UniqueFd socket, std::string mountpoint);

  void wait_for_standby() const;
  [[nodiscard]] bool nobody_left() const;
  [[nodiscard]] std::string remedy() const;

  std::atomic<pid_t> pid_; ///< 0: it was reaped
  UniqueFd process_;
  UniqueFd socket_; ///< empty: the process was asked to end
  std::string mountpoint_;
};

} // namespace vmemfs
