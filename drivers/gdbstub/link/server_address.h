// SPDX-License-Identifier: MIT
// Address of a server of GDB's remote protocol as text, and connecting to it.
//
// Forms: HOST:PORT and tcp:HOST:PORT, where HOST is an IP address ([::1] in brackets for IPv6), localhost, or
// empty, which is localhost too, as for gdb; /PATH and unix:PATH, a UNIX socket. Names of hosts are not
// looked up, because that has no time limit.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace vmemfs::gdbstub {

struct ServerAddress {
  std::string host{}; ///< numeric; empty: a UNIX socket
  std::uint16_t port = 0;
  std::string path{}; ///< of a UNIX socket

  [[nodiscard]] bool is_unix() const { return host.empty(); }
  friend bool operator==(const ServerAddress&, const ServerAddress&) = default;
};

/// invalid: the text names the allowed forms.
[[nodiscard]] Result<ServerAddress> parse_address(std::string_view text);

/// In a form that parse_address() takes: "127.0.0.1:1234", "[::1]:1234", "/run/web01.gdb".
[[nodiscard]] std::string to_string(const ServerAddress& address);

/// A connected, non-blocking socket; the server stops its target when it accepts. not_found: nobody listens.
/// permission: access denied. timed_out: not connected before `deadline`. unsupported: the address is on TCP,
/// and this process has no network.
[[nodiscard]] Result<UniqueFd> connect_to(const ServerAddress& address,
                                          std::chrono::steady_clock::time_point deadline);

} // namespace vmemfs::gdbstub
