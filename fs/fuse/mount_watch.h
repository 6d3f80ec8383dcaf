// SPDX-License-Identifier: MIT
// Notices that a mount of ours has left the tree of mounts.
//
// After `fusermount3 -u -z` the kernel goes on serving what is open and tells the daemon nothing. Who waits
// for something that may never come would then keep the mount alive for ever.
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
  /// Calls `gone` once, on a thread of its own, when what is mounted on `mountpoint` now is mounted nowhere
  /// any more, as far as this process sees mounts. Asks the mounted filesystem nothing.
  [[nodiscard]] static Result<std::unique_ptr<MountWatch>> start(const std::string& mountpoint,
                                                                 std::function<void()> gone);
  ~MountWatch(); ///< when it returns `gone` does not run any more
  MountWatch(const MountWatch&) = delete;
  MountWatch& operator=(const MountWatch&) = delete;

private:
  MountWatch(UniqueFd mounts, UniqueFd wake, std::string device, std::function<void()> gone);
  void run(const std::stop_token& stop);
  [[nodiscard]] bool is_mounted() const;

  const UniqueFd mounts_;
  const UniqueFd wake_;
  const std::string device_; ///< as in mountinfo: "0:51"
  const std::function<void()> gone_;
  std::jthread thread_;
};

} // namespace vmemfs
