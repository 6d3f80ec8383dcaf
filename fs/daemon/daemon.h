// SPDX-License-Identifier: MIT
// Daemon of a mount: attaches the VMs, mounts, serves, detaches.
#pragma once

#include "fs/cli/options.h"

namespace vmemfs {

/// Returns the process's exit code. Without the option foreground it returns in the calling process as soon
/// as the mount is ready, and serves in a child.
[[nodiscard]] int run_daemon(const MountOptions& options);

} // namespace vmemfs
