// SPDX-License-Identifier: MIT
// The kernel's tables of sockets in procfs, and which of them a process has open.
//
// Sources of the formats: proc(5); net/unix/af_unix.c, net/ipv4/tcp_ipv4.c and net/ipv6/tcp_ipv6.c of the
// kernel. Each table has the sockets of one network namespace. Processes choose the names of UNIX sockets:
// lines that are malformed, as a name with a line end makes them, are skipped. Thread-safe.
#pragma once

#include "core/error.h"
#include "drivers/qemu_protocol/qmp_address.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unordered_set>

namespace vmemfs::qemu {

inline constexpr std::size_t kMaxOwnerFiles = 8192;

struct UnixSocket {
  bool listens = false;
  bool connected = false; ///< accepted, not only in the listen queue
  std::uint64_t inode = 0;
  std::string_view name; ///< a path as it was bound; '@' and an abstract name, with '@' for its zero bytes
};

struct TcpSocket {
  bool listens = false;
  bool established = false;
  TcpEnd local;
  TcpEnd remote;
  std::uint64_t inode = 0; ///< 0: in the listen queue only, or no longer any process's
};

/// Whether `matches` is true for a socket; those after it are not read. `net` is a folder such as
/// /proc/PID/net. False also if the table cannot be read, or the WorkLimit is over.
[[nodiscard]] bool any_unix_socket(const std::string& net,
                                   const std::function<bool(const UnixSocket&)>& matches);
[[nodiscard]] bool any_tcp_socket(const std::string& net,
                                  const std::function<bool(const TcpSocket&)>& matches);

using Inodes = std::unordered_set<std::uint64_t>;

/// The sockets among the open files of a process; `process` is its folder, such as /proc/PID. unsupported: it
/// has more than kMaxOwnerFiles. permission: access denied.
[[nodiscard]] Result<Inodes> sockets_of(const std::string& process);

/// The socket that a descriptor of a process is, from the target of its link in /proc/PID/fd; 0: none.
[[nodiscard]] std::uint64_t socket_inode(std::string_view target);

} // namespace vmemfs::qemu
