// SPDX-License-Identifier: MIT
// Mounting, separate from serving because it needs privileges that serving does not.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <cstdint>
#include <string>
#include <vector>

namespace vmemfs {

/// What the kernel reads at once through its page cache, where the mounter may say so. More would take longer
/// for a page of a mapping, around which it reads as much.
inline constexpr std::uint32_t kReadAheadBytes = 1U << 20U;

/// An error with the remedy if the directory cannot be mounted on.
[[nodiscard]] Result<void> check_mountpoint(const std::string& mountpoint);

/// Mounts a FUSE filesystem that is not served yet; returns the /dev/fuse to serve it from. `options` as for
/// FuseArgs. libfuse's messages go to standard error. The caller becomes responsible for unmounting.
[[nodiscard]] Result<UniqueFd> mount_fuse(const std::string& mountpoint,
                                          const std::vector<std::string>& options);

} // namespace vmemfs
