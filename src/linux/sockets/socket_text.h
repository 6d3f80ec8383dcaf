// SPDX-License-Identifier: MIT
// A socket in the words of ss(8).
#pragma once

#include "linux/sockets/socket_reader.h"

#include <string>

namespace vmemfs {

/// Protocol, state, local end and that of the peer, with tabs between them. "-": there is none; "?": it
/// cannot be read. All of it is printable.
[[nodiscard]] std::string socket_text(const OpenSocket& socket);

} // namespace vmemfs
