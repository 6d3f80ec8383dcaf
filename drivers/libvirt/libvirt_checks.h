// SPDX-License-Identifier: MIT
// What of this host's libvirt matters, for `vmemfs check`.
#pragma once

#include "driver/host_check.h"

#include <vector>

namespace vmemfs::libvirt {

/// Whether the connection in which VMs are looked for by default can be had; waits some seconds for it.
[[nodiscard]] std::vector<HostCheck> check_default_connection();

} // namespace vmemfs::libvirt
