// SPDX-License-Identifier: MIT
// Mounting, apart from serving: it takes rights that serving does not.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <string>
#include <vector>

namespace vmemfs {

/// Why the directory can't be mounted on, if it can't, and what helps.
[[nodiscard]] Result<void> check_mountpoint(const std::string& mountpoint);

/// Mounts a FUSE filesystem that nobody serves yet; returns the /dev/fuse to serve it from. `options` as for
/// FuseArgs. What libfuse has to say goes to standard error. Nothing unmounts it by itself.
[[nodiscard]] Result<UniqueFd> mount_fuse(const std::string& mountpoint,
                                          const std::vector<std::string>& options);

} // namespace vmemfs
