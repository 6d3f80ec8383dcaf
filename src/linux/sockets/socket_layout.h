// SPDX-License-Identifier: MIT
// Members of a kernel's structures that describe open files and sockets, by its own types.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"

#include <cstdint>
#include <optional>

namespace vmemfs {

/// Offsets in bytes. Known of Linux 5.10 to 7.2.
struct SocketLayout {
  /// Kernels without IPv6 lack them.
  struct Addresses6 {
    std::uint64_t local;
    std::uint64_t peer;
  };
  /// The way from an inode to the name of its kind of filesystem.
  struct Filesystem {
    std::uint64_t of_inode;
    std::uint64_t type; ///< of super_block
    std::uint64_t name; ///< of file_system_type
  };
  struct Unix {
    std::uint64_t address; ///< of unix_sock
    std::uint64_t peer;
    std::uint64_t length; ///< of unix_address
    std::uint64_t name;
  };

  std::uint64_t task_files;
  std::uint64_t files_table; ///< files_struct.fdt
  std::uint64_t table_count; ///< of fdtable: how many descriptors there is space for
  std::uint64_t table_files;

  std::uint64_t file_operations;
  std::uint64_t file_private; ///< of a socket's file: the struct socket
  std::uint64_t file_inode;
  std::uint64_t inode_number;
  std::optional<Filesystem> filesystem;

  std::uint64_t socket_file; ///< back to the file
  std::uint64_t socket_sock;

  std::uint64_t size; ///< of struct sock, and from here on within it
  std::uint64_t family;
  std::uint64_t state;
  std::uint64_t type;
  std::uint64_t protocol;
  std::uint64_t local_port; ///< in the kernel's order, that of the peer in the network's
  std::uint64_t peer_port;
  std::uint64_t local_address;
  std::uint64_t peer_address;
  std::uint64_t socket; ///< back to the struct socket
  std::optional<Addresses6> addresses6;
  std::optional<Unix> unix_socket;
  std::optional<std::uint64_t> netlink_port; ///< of netlink_sock
};

/// no_data: the kernel's types lack something.
[[nodiscard]] Result<SocketLayout> socket_layout(const btf::Types& types);

} // namespace vmemfs
