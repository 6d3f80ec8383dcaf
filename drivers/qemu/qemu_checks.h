// SPDX-License-Identifier: MIT
// What `vmemfs check` says of the QEMUs of this host.
#pragma once

#include "driver/host_check.h"

#include <vector>

namespace vmemfs::qemu {

/// Two for each QEMU: whether its memory may be read, and whether it has a monitor that answers us.
/// Connects to none.
[[nodiscard]] std::vector<HostCheck> check_qemus();

} // namespace vmemfs::qemu
