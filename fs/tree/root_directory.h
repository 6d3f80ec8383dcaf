// SPDX-License-Identifier: MIT
// The root of the mount: `.vmemfs` and one directory per VM.
#pragma once

#include "fs/tree/mount_node.h"
#include "fs/tree/vm_node.h"
#include "vm/vm_registry.h"

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

/// Knows the VMs through the registry alone, which must outlive it.
class RootDirectory final : public Directory {
public:
  RootDirectory(const VmRegistry& vms, NodePtr mount_directory, const MountOwner& mount, mode_t permissions)
      : vms_{vms}, mount_directory_{std::move(mount_directory)}, mount_{mount}, permissions_{permissions} {}

  [[nodiscard]] Result<struct stat> attributes() const override {
    return node_attributes(mount_, S_IFDIR, permissions_);
  }
  [[nodiscard]] Result<NodePtr> look_up(std::string_view name) const override;
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list() const override;

private:
  [[nodiscard]] NodePtr directory_of(const std::shared_ptr<Vm>& vm) const;

  const VmRegistry& vms_;
  const NodePtr mount_directory_;
  const MountOwner mount_;
  const mode_t permissions_;
};

} // namespace vmemfs
