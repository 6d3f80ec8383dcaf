// SPDX-License-Identifier: MIT
// Checks of this host that do not depend on a driver. For those of a driver see DriverType::checks().
#pragma once

#include "driver/host_check.h"

#include <vector>

namespace vmemfs {

/// Checks that this process can mount.
[[nodiscard]] std::vector<HostCheck> mount_checks();

/// Checks which processes' memory it may read.
[[nodiscard]] std::vector<HostCheck> rights_checks();

} // namespace vmemfs
