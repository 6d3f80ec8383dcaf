// SPDX-License-Identifier: MIT
#include "fs/tree/root_directory.h"

#include "fs/tree/mount_directory.h"
#include "fs/tree/vm_table.h"

#include <string>

namespace vmemfs {

NodePtr RootDirectory::directory_of(const std::shared_ptr<Vm>& vm) const {
  return std::make_shared<VmDirectory>(VmScope{mount_, vm->id(), vm}, vm_table());
}

Result<NodePtr> RootDirectory::look_up(std::string_view name) const {
  if (name == kMountDirectoryName) {
    return mount_directory_;
  }
  const auto vm = vms_.find(name);
  return vm != nullptr ? directory_of(vm) : nullptr;
}

Result<std::vector<DirectoryEntry>> RootDirectory::list() const {
  std::vector<DirectoryEntry> entries{{std::string{kMountDirectoryName}, mount_directory_}};
  for (const auto& vm : vms_.all()) {
    entries.push_back({vm->name(), directory_of(vm)});
  }
  return entries;
}

} // namespace vmemfs
