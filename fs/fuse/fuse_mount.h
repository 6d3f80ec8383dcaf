// SPDX-License-Identifier: MIT
// Mounting, separate from serving because it needs privileges that serving does not.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <string>
#include <vector>

namespace vmemfs {

/// An error with the remedy if the directory cannot be mounted on.
[[nodiscard]] Result<void> check_mountpoint(const std::string& mountpoint);

/// Mounts a FUSE filesystem that is not served yet; returns the /dev/fuse to serve it from. `options` as for
/// FuseArgs. libfuse's messages go to standard error. The caller becomes responsible for unmounting.
[[nodiscard]] Result<UniqueFd> mount_fuse(const std::string& mountpoint,
                                          const std::vector<std::string>& options);

} // namespace vmemfs
