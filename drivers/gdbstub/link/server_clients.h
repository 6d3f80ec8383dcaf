// SPDX-License-Identifier: MIT
// Clients of a server of this host, as the kernel lists them.
//
// A server takes one client. The connection of a second one waits in the kernel, is accepted when the first
// one has left, and stops the target then, even if the second client has given up long before. So nobody
// should connect to a server that has a client.
#pragma once

#include "core/error.h"
#include "drivers/gdbstub/link/server_address.h"

#include <chrono>
#include <string_view>

namespace vmemfs::gdbstub {

/// Whether /proc/net/unix has a connection to the socket at `path`, accepted or not. A server may have bound
/// it by a relative path: that counts if no other socket ends like it.
[[nodiscard]] bool lists_unix_client(std::string_view proc_net_unix, std::string_view path);

/// Whether /proc/net/tcp or tcp6 has an established connection to the address and port.
[[nodiscard]] bool lists_tcp_client(std::string_view proc_net_tcp, const ServerAddress& address);

/// busy: at the deadline the server still has a client. A server of another host or of another network
/// namespace counts as free.
[[nodiscard]] Result<void> wait_until_free(const ServerAddress& address,
                                           std::chrono::steady_clock::time_point deadline);

} // namespace vmemfs::gdbstub
