// `vmemfs list`.
#pragma once

#include "fs/app/options.h"

namespace vmemfs {

/// Prints the VMs that drivers find on this host, and for each whether it can be attached and, if not, why
/// not. Attaches each for a moment. Returns the process's exit code.
[[nodiscard]] int list_vms(const ListVms& how);

} // namespace vmemfs
