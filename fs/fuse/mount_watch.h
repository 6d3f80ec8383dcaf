// SPDX-License-Identifier: MIT
// A watch that notices when the mount has left the tree of mounts.
//
// After `fusermount3 -u -z` the kernel continues to serve open files and does not notify the daemon. A
// process that waits for an event would then keep the mount alive forever. After any unmount it does so for a
// mount namespace that began while the mount was there, as that of a service: it has a copy.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <sys/types.h>
#include <thread>

namespace vmemfs {

class MountWatch {
public:
  /// Calls `gone` once, on a separate thread, when the filesystem that is mounted on `mountpoint` now is no
  /// longer mounted anywhere that this process can see. Asks the mounted filesystem nothing.
  [[nodiscard]] static Result<std::unique_ptr<MountWatch>> start(const std::string& mountpoint,
                                                                 std::function<void()> gone);
  ~MountWatch(); ///< when it returns, `gone` is not running
  MountWatch(const MountWatch&) = delete;
  MountWatch& operator=(const MountWatch&) = delete;

private:
  MountWatch(UniqueFd mounts, UniqueFd wake, std::string device, std::function<void()> gone);
  void run(const std::stop_token& stop);
  [[nodiscard]] bool is_mounted() const;

  const UniqueFd mounts_;
  const UniqueFd wake_;
  const std::string device_; ///< as in mountinfo, such as "0:51"
  const std::function<void()> gone_;
  std::jthread thread_;
};

} // namespace vmemfs
