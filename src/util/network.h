// SPDX-License-Identifier: MIT
// The network, as far as this process has it.
#pragma once

namespace vmemfs {

/// False if it cannot have sockets for IP: the daemon has given up the network, see Needs::network, or a
/// service manager forbids it.
[[nodiscard]] bool has_network();

} // namespace vmemfs
