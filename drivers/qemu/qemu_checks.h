// SPDX-License-Identifier: MIT
// Checks of `vmemfs check` for the QEMUs of this host.
#pragma once

#include "driver/host_check.h"
#include "driver/params.h"

#include <span>
#include <vector>

namespace vmemfs::qemu {

/// `params`: those of the driver type. Two checks per QEMU: its memory can be read, and it has a free monitor
/// that can be opened. Does not connect to the monitors.
[[nodiscard]] std::vector<HostCheck> check_qemus(std::span<const ParamSpec> params);

} // namespace vmemfs::qemu
