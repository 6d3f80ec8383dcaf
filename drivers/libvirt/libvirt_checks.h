// SPDX-License-Identifier: MIT
// Checks of this host's libvirt, for `vmemfs check`.
#pragma once

#include "driver/host_check.h"

#include <vector>

namespace vmemfs::libvirt {

/// Checks that the default connection for discovery can be opened; waits some seconds for it.
[[nodiscard]] std::vector<HostCheck> check_default_connection();

} // namespace vmemfs::libvirt
