// SPDX-License-Identifier: MIT
// Members of a kernel's structures that describe its mounts, by its own types.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"

#include <cstdint>
#include <optional>

namespace vmemfs {

/// Offsets in bytes. Known of Linux 5.10 to 7.2.
struct MountLayout {
  /// The mounts of a namespace in a list: up to 6.7.
  struct List {
    std::uint64_t head; ///< mnt_namespace.list
    std::uint64_t next; ///< mount.mnt_list
    std::uint64_t prev;
  };
  /// In a red-black tree, sorted by age: since 6.8.
  struct Tree {
    std::uint64_t root; ///< mnt_namespace.mounts
    std::uint64_t node; ///< mount.mnt_node
    std::uint64_t parent;
    std::uint64_t left;
    std::uint64_t right;
  };

  std::optional<List> list; ///< this or `tree`
  std::optional<Tree> tree;

  std::uint64_t task_tasks; ///< task_struct.tasks
  std::uint64_t task_pid;
  std::uint64_t task_tgid;
  std::uint64_t task_nsproxy;
  std::uint64_t task_fs;
  std::uint64_t nsproxy_mounts;
  std::uint64_t fs_root_mount;
  std::uint64_t fs_root_dentry;

  std::uint64_t size;  ///< of struct mount
  std::uint64_t inner; ///< mount.mnt, a vfsmount
  std::uint64_t root;  ///< from here on within struct mount
  std::uint64_t filesystem;
  std::uint64_t flags;
  std::uint64_t parent;
  std::uint64_t source;
  std::uint64_t owner; ///< the namespace
  std::uint64_t id;

  std::uint64_t device; ///< from here on within struct super_block
  std::uint64_t filesystem_flags;
  std::uint64_t type;
  std::uint64_t subtype;
  std::uint64_t type_name; ///< file_system_type.name
};

/// no_data: the kernel's types lack something.
[[nodiscard]] Result<MountLayout> mount_layout(const btf::Types& types);

} // namespace vmemfs
