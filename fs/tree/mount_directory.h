// SPDX-License-Identifier: MIT
// The directory `.vmemfs`: files that belong to the mount and to no VM.
#pragma once

#include "driver/driver_type.h"
#include "fs/files/event_feed.h"
#include "fs/tree/mount_node.h"
#include "vm/discovery/attacher.h"
#include "vm/discovery/vm_finder.h"

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace vmemfs {

inline constexpr std::string_view kMountDirectoryName = ".vmemfs";

/// The objects that the files show and control. All outlive the directory and its open files.
struct MountServices {
  std::span<const DriverType* const> drivers;
  const VmRegistry& vms;
  Attacher& attacher;
  VmFinder& finder;
  EventFeed& events;
  std::function<std::string()> stats; ///< the text of `stats`; waits for no driver
};

[[nodiscard]] NodePtr mount_directory(const MountServices& services, const MountOwner& mount);

} // namespace vmemfs
