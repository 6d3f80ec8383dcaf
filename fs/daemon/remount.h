// SPDX-License-Identifier: MIT
// `-o remount`: changes the flags of a mount that exists, such as `ro`.
#pragma once

#include "core/error.h"

#include <string>
#include <vector>

namespace vmemfs {

/// `options` without `remount`; those that are not named stay as they are. invalid: one that cannot be
/// changed while mounted. not_found: no vmemfs is mounted there.
[[nodiscard]] Result<void> remount(const std::string& mountpoint, const std::vector<std::string>& options);

/// not_found unless the top mount on the directory is a vmemfs; its path, without symbolic links.
[[nodiscard]] Result<std::string> find_vmemfs_mount(const std::string& mountpoint);

/// busy if the directory lies in a vmemfs: there a mount would hide a VM's files, and keep that vmemfs busy.
[[nodiscard]] Result<void> check_outside_of_vmemfs(const std::string& mountpoint);

} // namespace vmemfs
