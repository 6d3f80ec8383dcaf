// SPDX-License-Identifier: MIT
// Mounter process: it mounts for the daemon, and unmounts on request or when the daemon has ended, in
// whatever way. It keeps one end of a socket and reads nothing but that and the table of mounts.
//
// Nobody else has the right to unmount. So a copy of the process waits beside it, and each starts another one
// if the other is killed.
#pragma once

#include "fs/mounter/life_line.h"
#include "fs/mounter/mount_request.h"
#include "util/unique_fd.h"

namespace vmemfs {

/// The main function of the process after fork(). Returns the exit code for _exit(). `socket` is the only
/// descriptor that it keeps, besides the standard streams until it has mounted. It holds the directory that
/// is mounted on, so that it finds the mount if a directory above it is renamed.
[[nodiscard]] int run_mounter(UniqueFd socket, LifeLine daemon, const MountRequest& request);

} // namespace vmemfs
