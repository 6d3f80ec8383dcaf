// SPDX-License-Identifier: MIT
// Reading and setting a vCPU's registers, one request each.
//
// Functions without state, thread-safe. The guest is paused: while it runs, VirtualBox gives the values of
// its last stop.
#pragma once

#include "core/error.h"
#include "core/register_set.h"
#include "drivers/vbox/link/fdp_link.h"

#include <span>

namespace vmemfs::vbox {

/// What VirtualBox refuses or does not know is absent. source_failed: it gave none at all.
[[nodiscard]] Result<RegisterSet> read_vcpu_registers(FdpLink& link, VcpuId vcpu,
                                                      FdpLink::Clock::time_point deadline);

/// unsupported: one of them cannot be set by FDP; nothing was set then. source_failed: VirtualBox did not
/// take one; those before it have been set.
[[nodiscard]] Result<void> write_vcpu_registers(FdpLink& link, VcpuId vcpu,
                                                std::span<const RegisterValue> values,
                                                FdpLink::Clock::time_point deadline);

} // namespace vmemfs::vbox
