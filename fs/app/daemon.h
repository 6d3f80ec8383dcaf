// SPDX-License-Identifier: MIT
// The life of a mount: attach the VMs, mount, serve, let go.
#pragma once

#include "fs/app/options.h"

namespace vmemfs {

/// Returns the process's exit code. Unless told to stay in the foreground it returns in the process
/// that called as soon as the mount is there, and serves in a child.
[[nodiscard]] int run_daemon(const MountOptions& options);

} // namespace vmemfs
