// SPDX-License-Identifier: MIT
#include "linux/sockets/socket_layout.h"

#include "linux/structures/member_offsets.h"

namespace vmemfs {
namespace {

constexpr std::uint64_t kByte = 1;
constexpr std::uint64_t kShort = 2;
constexpr std::uint64_t kInt = 4;
constexpr std::uint64_t kAddress6 = 16;

std::optional<SocketLayout::Addresses6> addresses6(const MemberOffsets& offsets) {
  const auto local = offsets.find("sock", "__sk_common.skc_v6_rcv_saddr", kAddress6);
  const auto peer = offsets.find("sock", "__sk_common.skc_v6_daddr", kAddress6);
  return local && peer ? std::optional{SocketLayout::Addresses6{.local = *local, .peer = *peer}}
                       : std::nullopt;
}

std::optional<SocketLayout::Filesystem> filesystem(const MemberOffsets& offsets) {
  const auto of_inode = offsets.find("inode", "i_sb");
  const auto type = offsets.find("super_block", "s_type");
  const auto name = offsets.find("file_system_type", "name");
  if (!of_inode || !type || !name) {
    return std::nullopt;
  }
  return SocketLayout::Filesystem{.of_inode = *of_inode, .type = *type, .name = *name};
}

/// Of kernels with them as a module, its types are not those of the kernel.
std::optional<SocketLayout::Unix> unix_socket(const MemberOffsets& offsets) {
  constexpr std::uint64_t kNoBytes = 0; // an array without a count
  const auto address = offsets.find("unix_sock", "addr");
  const auto peer = offsets.find("unix_sock", "peer");
  const auto length = offsets.find("unix_address", "len", kInt);
  const auto name = offsets.find("unix_address", "name", kNoBytes);
  if (!address || !peer || !length || !name) {
    return std::nullopt;
  }
  return SocketLayout::Unix{.address = *address, .peer = *peer, .length = *length, .name = *name};
}

} // namespace

Result<SocketLayout> socket_layout(const btf::Types& types) {
  MemberOffsets offsets{types};
  SocketLayout layout{.task_files = offsets.offset("task_struct", "files"),
                      .files_table = offsets.offset("files_struct", "fdt"),
                      .table_count = offsets.offset("fdtable", "max_fds", kInt),
                      .table_files = offsets.offset("fdtable", "fd"),
                      .file_operations = offsets.offset("file", "f_op"),
                      .file_private = offsets.offset("file", "private_data"),
                      .file_inode = offsets.offset("file", "f_inode"),
                      .inode_number = offsets.offset("inode", "i_ino"),
                      .filesystem = filesystem(offsets),
                      .socket_file = offsets.offset("socket", "file"),
                      .socket_sock = offsets.offset("socket", "sk"),
                      .size = offsets.size("sock"),
                      .family = offsets.offset("sock", "__sk_common.skc_family", kShort),
                      .state = offsets.offset("sock", "__sk_common.skc_state", kByte),
                      .type = offsets.offset("sock", "sk_type", kShort),
                      .protocol = offsets.offset("sock", "sk_protocol", kShort),
                      .local_port = offsets.offset("sock", "__sk_common.skc_num", kShort),
                      .peer_port = offsets.offset("sock", "__sk_common.skc_dport", kShort),
                      .local_address = offsets.offset("sock", "__sk_common.skc_rcv_saddr", kInt),
                      .peer_address = offsets.offset("sock", "__sk_common.skc_daddr", kInt),
                      .socket = offsets.offset("sock", "sk_socket"),
                      .addresses6 = addresses6(offsets),
                      .unix_socket = unix_socket(offsets),
                      .netlink_port = offsets.find("netlink_sock", "portid", kInt)};
  if (auto checked = offsets.check(); !checked) {
    return tl::unexpected{checked.error()};
  }
  return layout;
}

} // namespace vmemfs
