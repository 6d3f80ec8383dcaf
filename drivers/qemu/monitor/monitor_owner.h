// SPDX-License-Identifier: MIT
// Proof that a monitor belongs to a process.
//
// A monitor is found by a name on a command line, which anybody can write: that of another VM's monitor, or
// one that leads to it. Only the connection itself proves who is at its other end.
#pragma once

#include "core/error.h"
#include "drivers/qemu/monitor/socket_tables.h"
#include "host/process.h"

#include <sys/types.h>

namespace vmemfs::qemu {

/// Whether the other end of `socket`, a connected UNIX or TCP socket that the process at the other end has
/// accepted (it has sent something), is an open file of `process`. `listener`: the pid that SO_PEERCRED has,
/// 0 on TCP, which decides if the open files of `process` cannot be examined; it is that of a manager if the
/// manager opened the socket. permission: the monitor is another process's, or that is unknown. vm_gone: the
/// process has ended. source_failed: the other end was closed meanwhile.
///
/// How, on UNIX sockets: the socket gets a random name, and each socket of the process is asked for the name
/// of its peer, and whether it was this process that connected. Names can be forged, the connecting process
/// cannot. The socket must not have a name yet. On TCP: the kernel's table of this network namespace has the
/// number of the connection's other end, which must be among the process's sockets.
///
/// Costs a few system calls for each open file; a process that has more than kMaxOwnerFiles is refused.
[[nodiscard]] Result<void> check_monitor_owner(int socket, pid_t listener, const Process& process);

} // namespace vmemfs::qemu
