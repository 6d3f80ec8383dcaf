// SPDX-License-Identifier: MIT
// Command `vmemfs list`.
#pragma once

#include "fs/cli/options.h"

namespace vmemfs {

/// Gives up privileges first, as a mount does. Prints the VMs that drivers find, and for each whether it can
/// be attached or the reason why not. Attaches each one for a moment. Returns the process's exit code: 1 if
/// the scan of a driver failed.
[[nodiscard]] int list_vms(const ListVms& how);

} // namespace vmemfs
