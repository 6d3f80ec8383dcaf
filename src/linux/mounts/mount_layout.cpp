// SPDX-License-Identifier: MIT
#include "linux/mounts/mount_layout.h"

#include "linux/structures/member_offsets.h"

namespace vmemfs {
namespace {

constexpr std::uint64_t kInt = 4;

/// By what the namespace has: mounts have the members of a list in kernels with a tree too.
void set_container(MountLayout& layout, MemberOffsets& offsets) {
  if (const auto root = offsets.find("mnt_namespace", "mounts.rb_node")) {
    layout.tree = {.root = *root,
                   .node = offsets.offset("mount", "mnt_node", offsets.size("rb_node")),
                   .parent = offsets.offset("mount", "mnt_node.__rb_parent_color"),
                   .left = offsets.offset("mount", "mnt_node.rb_left"),
                   .right = offsets.offset("mount", "mnt_node.rb_right")};
    return;
  }
  layout.list = {.head = offsets.offset("mnt_namespace", "list.next"),
                 .next = offsets.offset("mount", "mnt_list.next"),
                 .prev = offsets.offset("mount", "mnt_list.prev")};
}

} // namespace

Result<MountLayout> mount_layout(const btf::Types& types) {
  MemberOffsets offsets{types};
  const std::uint64_t inner = offsets.offset("mount", "mnt", offsets.size("vfsmount"));
  MountLayout layout{.list = std::nullopt,
                     .tree = std::nullopt,
                     .task_tasks = offsets.offset("task_struct", "tasks.next"),
                     .task_pid = offsets.offset("task_struct", "pid", kInt),
                     .task_tgid = offsets.offset("task_struct", "tgid", kInt),
                     .task_nsproxy = offsets.offset("task_struct", "nsproxy"),
                     .task_fs = offsets.offset("task_struct", "fs"),
                     .nsproxy_mounts = offsets.offset("nsproxy", "mnt_ns"),
                     .fs_root_mount = offsets.offset("fs_struct", "root.mnt"),
                     .fs_root_dentry = offsets.offset("fs_struct", "root.dentry"),
                     .size = offsets.size("mount"),
                     .inner = inner,
                     .root = inner + offsets.offset("vfsmount", "mnt_root"),
                     .filesystem = inner + offsets.offset("vfsmount", "mnt_sb"),
                     .flags = inner + offsets.offset("vfsmount", "mnt_flags", kInt),
                     .parent = offsets.offset("mount", "mnt_parent"),
                     .source = offsets.offset("mount", "mnt_devname"),
                     .owner = offsets.offset("mount", "mnt_ns"),
                     .id = offsets.offset("mount", "mnt_id", kInt),
                     .device = offsets.offset("super_block", "s_dev", kInt),
                     .filesystem_flags = offsets.offset("super_block", "s_flags"),
                     .type = offsets.offset("super_block", "s_type"),
                     .subtype = offsets.offset("super_block", "s_subtype"),
                     .type_name = offsets.offset("file_system_type", "name")};
  set_container(layout, offsets);
  if (auto checked = offsets.check(); !checked) {
    return tl::unexpected{checked.error()};
  }
  return layout;
}

} // namespace vmemfs
