// SPDX-License-Identifier: MIT
// Address of a QMP monitor as text, and connecting to it.
//
// Forms, as they are shown to users and kept in tickets:
//
//   /run/web01.qmp             a UNIX socket, by its path; a relative path never begins like another form
//   abstract:NAME              a UNIX socket, by its abstract name (unix(7))
//   abstract,tight=off:NAME    the same; the name is followed by zero bytes, as QEMU does it
//   tcp:127.0.0.1:4444         a TCP port of this host; tcp:[::1]:4444 for IPv6
//
// Pure functions but for connect_to_monitor(). Thread-safe. Addresses are not trusted.
#pragma once

#include "core/error.h"
#include "util/unique_fd.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>

namespace vmemfs {

/// One end of a TCP connection. An IPv4 address is in its mapped form (::ffff:127.0.0.1).
struct TcpEnd {
  std::array<std::uint8_t, 16> ip{};
  std::uint16_t port = 0;

  bool operator==(const TcpEnd&) const = default;
};

/// A numeric address, of either family.
[[nodiscard]] std::optional<TcpEnd> tcp_end(const std::string& ip, std::uint16_t port);
/// That of an AF_INET or AF_INET6 address.
[[nodiscard]] std::optional<TcpEnd> tcp_end(const sockaddr_storage& address);

[[nodiscard]] bool is_any_address(const TcpEnd& end); ///< 0.0.0.0 or ::
[[nodiscard]] bool is_loopback(const TcpEnd& end);    ///< 127.0.0.0/8 or ::1
/// 127.0.0.1 or ::1, the family of `end`, and its port.
[[nodiscard]] TcpEnd loopback_of(const TcpEnd& end);

struct AbstractName {
  std::string name;
  bool padded = false; ///< with zero bytes, to the full size
};

[[nodiscard]] std::string path_address(const std::string& path);
[[nodiscard]] std::string abstract_address(const AbstractName& name);
[[nodiscard]] std::string tcp_address(const TcpEnd& end);

[[nodiscard]] std::optional<AbstractName> abstract_name_of(std::string_view address);
[[nodiscard]] bool is_tcp_address(std::string_view address);
/// nullopt: it is of another form, or malformed.
[[nodiscard]] std::optional<TcpEnd> tcp_end_of(std::string_view address);
[[nodiscard]] bool is_path_address(std::string_view address);

/// The same socket for a process with another working directory.
[[nodiscard]] std::string absolute_address(const std::string& address);

/// A connected, non-blocking socket. Connects to loopback addresses only, never to another host. not_found:
/// there is no socket, or no process listens on it. permission: access denied. timed_out: the listen queue
/// was full until `deadline`. unsupported: the address is on TCP, and this process has no network.
[[nodiscard]] Result<UniqueFd> connect_to_monitor(const std::string& address,
                                                  std::chrono::steady_clock::time_point deadline);

} // namespace vmemfs
