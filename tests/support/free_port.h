// SPDX-License-Identifier: MIT
// A TCP port on 127.0.0.1 for a server of a test.
#pragma once

#include "util/unique_fd.h"

namespace vmemfs::test {

/// A socket bound to one. Throws std::runtime_error.
struct BoundSocket {
  UniqueFd socket;
  unsigned port;
};
[[nodiscard]] BoundSocket bind_to_free_port();

/// One that nobody listens on just now. Throws std::runtime_error.
[[nodiscard]] unsigned free_port();

/// Whether nobody listens on it.
[[nodiscard]] bool refuses_connections(unsigned port);

} // namespace vmemfs::test
