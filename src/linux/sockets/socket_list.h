// SPDX-License-Identifier: MIT
// The sockets that processes of a guest have open, as `ss -anp` lists them.
#pragma once

#include "core/error.h"
#include "linux/running_kernel.h"

#include <string>

namespace vmemfs {

/// A header line and a line for each descriptor of a socket, with tabs between the columns: protocol, state,
/// local end, end of the peer, inode, pid, descriptor, name of the process. Protocols and states are named as
/// ss does (Netid, State). Ends are address:port; of UNIX sockets the path, or @ and the name, and the inode
/// of the peer's; of netlink its protocol and port. "-": there is none; "?": it cannot be read. Bytes that
/// are not printable ASCII are shown as \xNN. The last line begins with "# complete: " or "# incomplete: "
/// and says how many lines there are, or why some are missing.
///
/// Sockets of all network namespaces. Those that no process has open are not listed, such as TIME-WAIT and
/// those of the kernel, nor those that are open only in a thread with files of its own or after the first
/// thread of the process has ended.
///
/// The guest is not paused; see TaskList about what that means for processes. A row is shown only if the
/// socket was the same twice while the process had it open. Waits for the guest's memory. no_data: the
/// kernel's symbols or types lack something. timed_out: the limit of the calling thread's work is reached.
[[nodiscard]] Result<std::string> socket_list(const RunningKernel& kernel);

} // namespace vmemfs
