// SPDX-License-Identifier: MIT
// Writes to the registers of a vCPU through QEMU's gdbstub: the only interface of QEMU for it.
//
// Register numbers are those of QEMU's gdb-xml/i386-64bit.xml (checked with 7.2).
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/register_set.h"
#include "drivers/qemu/monitor/monitor.h"

#include <span>
#include <string>

namespace vmemfs::qemu {

/// Sets `values` and reads them back, in one visit (see gdb_visit.h).
///
/// QEMU loads selectors as it does for gdb: base, limit and attributes come from the guest's descriptor
/// table, without the checks of a real load.
///
/// unsupported (nothing was changed): a register that QEMU cannot set; the text names them. busy (nothing was
/// changed): the gdbstub is in use. invalid (nothing was changed): no such vCPU. source_failed: QEMU did not
/// accept a value; others may have been set.
///
/// `user_chardevs`: see visit_gdbstub().
[[nodiscard]] Result<void> set_registers(MonitorSession& session, VcpuId vcpu,
                                         std::span<const RegisterValue> values,
                                         std::span<const std::string> user_chardevs);

/// unsupported, with their names, if `values` has registers that set_registers() cannot set.
[[nodiscard]] Result<void> check_settable(std::span<const RegisterValue> values);

} // namespace vmemfs::qemu
