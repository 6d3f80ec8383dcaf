// SPDX-License-Identifier: MIT
// Registers of PVH and HVM domains' vCPUs, from and to the records that Xen saves a domain with.
#pragma once

#include "core/gpa.h"
#include "core/register_set.h"
#include "drivers/xen/handles.h"

#include <cstdint>
#include <span>

namespace vmemfs::xen {

/// All registers, but cr8 where the vCPU has no local APIC. busy: the vCPU is offline.
[[nodiscard]] Result<RegisterSet> read_hvm_registers(xc_interface* control, std::uint32_t domain,
                                                     VcpuId vcpu);

/// All but cr8 and pat. The domain must be paused. invalid: Xen does not take these values.
[[nodiscard]] Result<void> write_hvm_registers(xc_interface* control, std::uint32_t domain, VcpuId vcpu,
                                               std::span<const RegisterValue> values);

} // namespace vmemfs::xen
