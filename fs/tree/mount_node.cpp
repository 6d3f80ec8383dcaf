// SPDX-License-Identifier: MIT
#include "fs/tree/mount_node.h"

#include <algorithm>
#include <fcntl.h>

namespace vmemfs {

struct stat node_attributes(const MountOwner& mount, mode_t type, mode_t permissions) {
  struct stat attributes {};
  attributes.st_mode = type | permissions;
  attributes.st_nlink = type == S_IFDIR ? 2 : 1;
  attributes.st_uid = mount.uid;
  attributes.st_gid = mount.gid;
  attributes.st_atim = attributes.st_mtim = attributes.st_ctim = mount.mounted_at;
  return attributes;
}

Result<struct stat> TableDirectory::attributes() const {
  constexpr mode_t kPermissions = 0500;
  return node_attributes(mount_, S_IFDIR, kPermissions);
}

Result<NodePtr> TableDirectory::look_up(std::string_view name) const {
  const auto found = std::ranges::find(table_, name, &DirectoryEntry::name);
  return found != table_.end() ? found->node : nullptr;
}

Result<struct stat> MountFile::attributes() const {
  constexpr mode_t kReadOnly = 0400;
  constexpr mode_t kWritable = 0600;
  return node_attributes(mount_, S_IFREG, traits_.takes_commands ? kWritable : kReadOnly);
}

Result<std::unique_ptr<OpenFile>> MountFile::open(int flags) const {
  if (!traits_.takes_commands && (flags & O_ACCMODE) != O_RDONLY) {
    return fail(ErrorKind::read_only, "fs", "this file takes no writes");
  }
  return open_();
}

} // namespace vmemfs
