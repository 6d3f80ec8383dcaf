// SPDX-License-Identifier: MIT
// `vmemfs list`.
#pragma once

#include "fs/app/options.h"

namespace vmemfs {

/// Prints the VMs that drivers find, and for each whether it can be attached and, if not, why not. Attaches
/// each for a moment. Returns the process's exit code: 1 where one of the drivers could not look.
[[nodiscard]] int list_vms(const ListVms& how);

} // namespace vmemfs
