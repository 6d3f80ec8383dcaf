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

void set_size(struct stat& attributes, std::size_t bytes) {
  constexpr std::size_t kBlock = 512; // the unit of st_blocks
  attributes.st_size = static_cast<off_t>(bytes);
  attributes.st_blocks = static_cast<blkcnt_t>((bytes + kBlock - 1) / kBlock);
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
  struct stat attributes = node_attributes(mount_, S_IFREG, traits_.takes_commands ? kWritable : kReadOnly);
  set_size(attributes, size_());
  return attributes;
}

Result<std::unique_ptr<OpenFile>> MountFile::open(int flags) const {
  if (!traits_.takes_commands && (flags & O_ACCMODE) != O_RDONLY) {
    return fail(ErrorKind::read_only, "fs", "this file takes no writes");
  }
  return open_();
}

} // namespace vmemfs
