// SPDX-License-Identifier: MIT
// Proof that a monitor belongs to a process.
//
// A monitor is found by a path on a command line, which anybody can write, and behind which anybody can put
// another VM's socket. Only the connection itself proves who is at its other end.
#pragma once

#include "core/error.h"
#include "host/process.h"

#include <cstddef>
#include <sys/types.h>

namespace vmemfs::qemu {

/// Whether the other end of `socket`, a connected UNIX socket that the process at the other end has accepted
/// (it has sent something), is an open file of `process`. `listener`: the pid that SO_PEERCRED has, which
/// decides if the open files of `process` cannot be examined; it is that of a manager if the manager opened
/// the socket. permission: the monitor is another process's, or that is unknown. vm_gone: the process has
/// ended. source_failed: the other end was closed meanwhile.
///
/// How: the socket gets a random name, and each socket of the process is asked for the name of its peer, and
/// whether it was this process that connected. Names can be forged, the connecting process cannot. The socket
/// must not have a name yet. Costs a few system calls for each open file; a process that has more than
/// kMaxOwnerFiles is refused.
[[nodiscard]] Result<void> check_monitor_owner(int socket, pid_t listener, const Process& process);

inline constexpr std::size_t kMaxOwnerFiles = 8192;

} // namespace vmemfs::qemu
