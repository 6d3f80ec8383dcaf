// SPDX-License-Identifier: MIT
// Checks of this host that do not depend on a driver. For those of a driver see DriverType::checks().
#pragma once

#include "driver/host_check.h"
#include "driver/needs.h"

#include <string_view>
#include <vector>

namespace vmemfs {

/// Checks that this process can mount.
[[nodiscard]] std::vector<HostCheck> mount_checks();

/// Checks which processes' memory it may read. `needs`: those of all drivers.
[[nodiscard]] std::vector<HostCheck> rights_checks(const Needs& needs);

/// Whether this process has what a driver needs to reach the VMs of all users. None if it needs nothing.
[[nodiscard]] std::vector<HostCheck> needs_checks(std::string_view driver, const Needs& needs);

} // namespace vmemfs
