// SPDX-License-Identifier: MIT
// What of this host matters to vmemfs whatever the driver. For what a driver needs see DriverType::checks().
#pragma once

#include "driver/host_check.h"

#include <vector>

namespace vmemfs {

/// Whether this process can mount.
[[nodiscard]] std::vector<HostCheck> mount_checks();

/// Whose memory it may read.
[[nodiscard]] std::vector<HostCheck> rights_checks();

} // namespace vmemfs
