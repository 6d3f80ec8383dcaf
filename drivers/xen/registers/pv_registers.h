// SPDX-License-Identifier: MIT
// Registers of PV domains' vCPUs.
//
// Such a vCPU has no descriptor tables and no MSRs of its own that Xen would tell of: these registers are
// absent. cr3 is as Xen has it, with a machine address and not one in `mem`.
#pragma once

#include "core/gpa.h"
#include "core/register_set.h"
#include "drivers/xen/handles.h"

#include <cstdint>
#include <span>

namespace vmemfs::xen {

/// Bits of the guest's words: 64, or 32 for a 32-bit PV domain.
[[nodiscard]] Result<unsigned> pv_guest_bits(xc_interface* control, std::uint32_t domain);

/// Whether such a vCPU has this register of the x86-64 layout.
[[nodiscard]] bool pv_has_register(unsigned guest_bits, RegisterIndex reg);

/// busy: the vCPU is offline.
[[nodiscard]] Result<RegisterSet> read_pv_registers(xc_interface* control, std::uint32_t domain,
                                                    unsigned guest_bits, VcpuId vcpu);

/// General registers, rip, rflags, selectors, debug registers, and the bases of fs and gs; Xen sets no others
/// of a vCPU that has run. The domain must be paused.
[[nodiscard]] Result<void> write_pv_registers(xc_interface* control, std::uint32_t domain,
                                              unsigned guest_bits, VcpuId vcpu,
                                              std::span<const RegisterValue> values);

} // namespace vmemfs::xen
