// SPDX-License-Identifier: MIT
// The process that mounts for the daemon, and unmounts when it is told to or when the daemon has ended, in
// whatever way. It holds nothing of the daemon's but one end of a socket, and looks at nothing but that and
// the table of mounts.
#pragma once

#include "fs/app/mounter.h"

namespace vmemfs {

/// What it does after fork(). Never returns to what the daemon was doing: returns the exit code for _exit().
/// `socket` is the only descriptor it keeps, but for the standard streams until it has mounted.
[[nodiscard]] int run_mounter(UniqueFd socket, const MountRequest& request);

} // namespace vmemfs
