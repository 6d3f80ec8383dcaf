// SPDX-License-Identifier: MIT
// The tree of a mount, by inode numbers: the requests of the kernel without FUSE.
#pragma once

#include "core/error.h"
#include "fs/files/open_file.h"
#include "fs/tree/inode_table.h"
#include "fs/tree/mount_directory.h"
#include "vm/vm_registry.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

namespace vmemfs {

/// The user who mounted; files belong to this user unless a VM's rights say otherwise.
struct TreeOptions {
  /// Everybody must get through the root directory if other users may read VMs.
  static constexpr mode_t kRootForMounter = 0500;
  static constexpr mode_t kRootForAll = 0555;

  uid_t uid;
  gid_t gid;
  mode_t root_mode = kRootForMounter;
};

/// Thread-safe. `vms` and what `services` names must outlive it.
class Tree {
public:
  Tree(const VmRegistry& vms, const MountServices& services, TreeOptions options);

  struct Found {
    Ino ino;
    struct stat attributes;
  };
  /// Counts as one lookup of the kernel, until forget().
  [[nodiscard]] Result<Found> look_up(Ino parent, std::string_view name);
  /// True: the kernel does not know it any more.
  bool forget(Ino ino, std::uint64_t lookups) { return inodes_.forget(ino, lookups); }

  [[nodiscard]] Result<struct stat> attributes(Ino ino) const;

  struct Listed {
    std::string name;
    Ino ino;
    bool is_directory;
  };
  [[nodiscard]] Result<std::vector<Listed>> list(Ino ino);
  [[nodiscard]] bool waits_to_list(Ino ino) const; ///< list() may wait for the VM
  [[nodiscard]] bool waits_to_look_up(Ino parent, std::string_view name) const; ///< look_up() may

  /// The file's traits; those of a directory are all false.
  [[nodiscard]] Result<FileTraits> traits(Ino ino) const;
  /// The VM that it belongs to, or Node::kMountNode.
  [[nodiscard]] VmId vm(Ino ino) const;
  /// `flags` as of open(2).
  [[nodiscard]] Result<std::unique_ptr<OpenFile>> open(Ino ino, int flags) const;

  /// What is found by the name of this inode is another node from now on.
  void remove_name(Ino ino) { inodes_.remove_name(ino); }
  /// The VM has left the registry: its name may mean another one from now on.
  void remove_vm(VmId vm) { inodes_.remove_vm(vm); }
  /// The nodes of which the kernel may keep pages with memory of the VM.
  [[nodiscard]] std::vector<Ino> guest_memory(VmId vm) const { return inodes_.guest_memory(vm); }

  [[nodiscard]] std::size_t inode_count() const { return inodes_.size(); }

private:
  [[nodiscard]] Result<NodePtr> node(Ino ino) const;

  InodeTable inodes_;
};

} // namespace vmemfs
