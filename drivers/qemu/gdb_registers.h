// Sets registers of a vCPU through QEMU's gdbstub: the only way that QEMU has.
//
// Register numbers are those of QEMU's gdb-xml/i386-64bit.xml (checked with 7.2).
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/register_set.h"
#include "drivers/qemu/monitor.h"

#include <span>

namespace vmemfs::qemu {

/// Sets `values` and reads them back, in one visit (see gdb_visit.h).
///
/// Selectors are loaded as QEMU does it for gdb: base, limit and attributes from the guest's own
/// descriptor table, without the checks of a real load.
///
/// unsupported (nothing was changed): a register that QEMU can't set; they are named. busy (nothing was
/// changed): the gdbstub is in use. invalid (nothing was changed): no such vCPU. source_failed: QEMU did
/// not take a value; others may have been set.
[[nodiscard]] Result<void> set_registers(MonitorSession& session, VcpuId vcpu,
                                         std::span<const RegisterValue> values);

/// unsupported, with the names, where `values` has registers that set_registers() can't set.
[[nodiscard]] Result<void> check_settable(std::span<const RegisterValue> values);

} // namespace vmemfs::qemu
