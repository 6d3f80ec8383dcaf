// SPDX-License-Identifier: MIT
// The tree of the mount: which names a directory has, what their attributes are, how a file opens.
#pragma once

#include "core/error.h"
#include "fs/files/open_file.h"
#include "fs/fuse/directory_entry.h"
#include "fs/fuse/mount_directory.h"
#include "fs/fuse/node_id.h"
#include "vm/vm_registry.h"

#include <memory>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

namespace vmemfs {

/// Who mounted, whose files are those of which nobody said otherwise.
struct TreeOptions {
  /// Everybody must get through the root directory where VMs are to be read by others.
  static constexpr mode_t kRootForMounter = 0500;
  static constexpr mode_t kRootForAll = 0555;

  uid_t uid;
  gid_t gid;
  mode_t root_mode = kRootForMounter;
};

/// Thread-safe. Knows the VMs through the registry alone; that and `mount_directory` must outlive it.
class Tree {
public:
  Tree(VmRegistry& vms, const MountDirectory& mount_directory, TreeOptions options);

  [[nodiscard]] Result<NodeId> look_up(NodeId directory, std::string_view name) const;
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list(NodeId directory) const;
  [[nodiscard]] Result<struct stat> attributes(NodeId node) const;
  /// `flags` as of open(2).
  [[nodiscard]] Result<std::unique_ptr<OpenFile>> open(NodeId node, int flags) const;

private:
  [[nodiscard]] Result<std::shared_ptr<Vm>> vm_of(NodeId node) const;
  void describe_mount_node(NodeKind kind, struct stat& attributes) const;
  void describe(NodeId node, Vm& vm, struct stat& attributes) const;

  VmRegistry& vms_;
  const MountDirectory& mount_directory_;
  const TreeOptions options_;
  const timespec mounted_at_;
};

} // namespace vmemfs
