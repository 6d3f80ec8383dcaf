// SPDX-License-Identifier: MIT
// `.vmemfs/`: what belongs to the mount and to no VM. A part of the tree; see there.
#pragma once

#include "core/error.h"
#include "driver/driver_type.h"
#include "fs/files/event_readers.h"
#include "fs/files/open_file.h"
#include "fs/fuse/directory_entry.h"
#include "vm/attacher.h"
#include "vm/vm_finder.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// What the files here show and steer. All outlive the directory.
struct MountDirectoryServices {
  std::span<const DriverType* const> drivers;
  const VmRegistry& vms;
  Attacher& attacher;
  const VmFinder& finder;
  EventReaders& events;
  std::function<std::string()> stats; ///< the text of `stats`; asks nobody who may make it wait
};

/// Thread-safe. Its nodes are those of which is_mount_node() is true.
class MountDirectory {
public:
  static constexpr std::string_view kName = ".vmemfs";

  explicit MountDirectory(MountDirectoryServices services) : services_{std::move(services)} {}

  [[nodiscard]] Result<NodeId> look_up(NodeId directory, std::string_view name) const;
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list(NodeId directory) const;
  /// `flags` as of open(2).
  [[nodiscard]] Result<std::unique_ptr<OpenFile>> open(NodeId node, int flags) const;

private:
  const MountDirectoryServices services_;
};

} // namespace vmemfs
