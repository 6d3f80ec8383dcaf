// SPDX-License-Identifier: MIT
// The mount that the daemon asks the mounter for.
#pragma once

#include <string>
#include <vector>

namespace vmemfs {

/// A mountpoint and the options of its mount.
struct MountRequest {
  std::string mountpoint;           ///< absolute
  std::vector<std::string> options; ///< one FUSE mount option each
};

} // namespace vmemfs
