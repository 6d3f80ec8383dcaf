// SPDX-License-Identifier: MIT
// Inode numbers of the mount: they say what they stand for, so no table of inodes is needed.
#pragma once

#include "core/gpa.h"
#include "vm/vm.h"

#include <cstdint>
#include <fuse_lowlevel.h>
#include <optional>

namespace vmemfs {

enum class NodeKind : std::uint8_t {
  root,
  vm_dir,
  mem,
  mem_padded,
  maps,
  info,
  control,
  vcpus_dir,
  vcpu_dir,
  regs,
  // Of the mount itself, of no VM:
  mount_directory,
  mount_control,
  drivers_dir,
  driver_file,
  events,
  stats
};
inline constexpr unsigned kNodeKindCount = 16;

/// Lies under `.vmemfs/`, and belongs to no VM.
[[nodiscard]] constexpr bool is_mount_node(NodeKind kind) { return kind >= NodeKind::mount_directory; }

/// What a node of the tree is: 31 bits of VM, 8 bits of kind, 24 bits of vCPU in an inode number.
struct NodeId {
  NodeKind kind = NodeKind::root;
  VmId vm = 0;   ///< 0 for what is_mount_node()
  VcpuId vcpu{}; ///< for driver_file the number of the driver

  [[nodiscard]] constexpr fuse_ino_t ino() const {
    if (kind == NodeKind::root) {
      return FUSE_ROOT_ID;
    }
    return (std::uint64_t{vm} << 32U) | (static_cast<std::uint64_t>(kind) << 24U) | vcpu.value();
  }

  /// Nothing for a number that no NodeId gives.
  [[nodiscard]] static constexpr std::optional<NodeId> from_ino(fuse_ino_t ino) {
    if (ino == FUSE_ROOT_ID) {
      return NodeId{};
    }
    const auto kind = static_cast<unsigned>((ino >> 24U) & 0xffU);
    if (kind == 0 || kind >= kNodeKindCount ||
        is_mount_node(static_cast<NodeKind>(kind)) != ((ino >> 32U) == 0)) {
      return std::nullopt;
    }
    return NodeId{static_cast<NodeKind>(kind), static_cast<VmId>(ino >> 32U),
                  VcpuId{static_cast<std::uint32_t>(ino & 0xff'ffffU)}};
  }

  friend constexpr bool operator==(const NodeId&, const NodeId&) = default;
};

[[nodiscard]] constexpr bool is_directory(NodeKind kind) {
  return kind == NodeKind::root || kind == NodeKind::vm_dir || kind == NodeKind::vcpus_dir ||
         kind == NodeKind::vcpu_dir || kind == NodeKind::mount_directory || kind == NodeKind::drivers_dir;
}

} // namespace vmemfs
