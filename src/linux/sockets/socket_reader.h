// SPDX-License-Identifier: MIT
// A socket that a process of a guest has open, as the kernel has it.
#pragma once

#include "linux/kernel_memory.h"
#include "linux/sockets/socket_layout.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace vmemfs {

/// Numbers are those of Linux's interface for programs.
struct OpenSocket {
  enum Family : std::uint16_t { unix_socket = 1, inet = 2, inet6 = 10, netlink = 16, packet = 17 };
  enum Type : std::uint16_t { stream = 1, datagram = 2, raw = 3, sequenced = 5 };

  struct End {
    std::array<unsigned char, 16> address{}; ///< 4 bytes of it if the family is inet
    std::uint16_t port = 0;

    bool operator==(const End&) const = default;
  };

  std::uint64_t file; ///< addresses in the kernel
  std::uint64_t socket;
  std::uint64_t sock;
  std::uint64_t inode;
  std::uint16_t family;
  std::uint16_t type;
  std::uint16_t protocol;
  std::uint8_t state;
  std::optional<End> local; ///< of inet and inet6
  std::optional<End> peer;
  /// Of unix_socket: a path; with a zero byte at its begin: a name without a file; empty: it has none.
  /// nullopt: it cannot be read.
  std::optional<std::string> name;
  /// Of unix_socket: the inode of its peer's; 0: no process has it; nullopt: it cannot be read.
  std::optional<std::uint64_t> peer_inode;
  std::optional<std::uint32_t> netlink_port;

  bool operator==(const OpenSocket&) const = default;
};

/// Not thread-safe.
class SocketReader {
public:
  /// Max bytes of the name of a UNIX socket.
  static constexpr std::size_t kMaxName = 109;

  /// `operations`: address of socket_file_ops, which only files of sockets have; nullopt: unknown, and files
  /// of sockets are known by their filesystem, which the layout has. `layout` outlives this object.
  SocketReader(KernelMemory& memory, const SocketLayout& layout, std::optional<std::uint64_t> operations)
      : memory_{memory}, layout_{layout}, operations_{operations} {}

  /// `file`: a struct file. nullopt: it cannot be read.
  [[nodiscard]] std::optional<bool> is_socket(std::uint64_t file) const;
  /// Read once, so it may be of several moments. nullopt: it is not a file whose socket and protocol point
  /// back.
  [[nodiscard]] std::optional<OpenSocket> read(std::uint64_t file) const;

private:
  [[nodiscard]] std::optional<bool> is_in_sockfs(std::uint64_t file) const;
  [[nodiscard]] std::optional<std::uint64_t> inode_of(std::uint64_t file) const;
  [[nodiscard]] std::optional<std::string> unix_name(std::uint64_t sock) const;
  [[nodiscard]] std::optional<std::uint64_t> unix_peer(std::uint64_t sock) const;

  KernelMemory& memory_;
  const SocketLayout& layout_;
  const std::optional<std::uint64_t> operations_;
};

} // namespace vmemfs
