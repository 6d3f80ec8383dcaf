// Sets registers of a vCPU through QEMU's gdbstub: the only way that QEMU has.
//
// Protocol: GDB's remote serial protocol; register numbers are those of QEMU's
// gdb-xml/i386-64bit.xml (checked with 7.2).
//
// How: one end of a socket pair goes to QEMU through the monitor, becomes a chardev, and the gdbstub is
// put on it; no file system path and no port is involved. QEMU stops the VM when the stub gets its
// connection. All packets, with the one that lets the VM run again (only if it ran before) at their
// end, lie in the socket before that: from then on the rest happens inside QEMU, even if this process
// dies. Afterwards stub and chardev are removed.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/registers.h"
#include "drivers/qemu/monitor.h"

#include <span>

namespace vmemfs::qemu {

/// Sets `values` and reads them back. A running VM is stopped for about a millisecond and runs again; a
/// paused one stays paused.
///
/// Selectors are loaded as QEMU does it for gdb: base, limit and attributes from the guest's own
/// descriptor table, without the checks of a real load.
///
/// unsupported (nothing was changed): a register that QEMU can't set; they are named. busy (nothing was
/// changed): the gdbstub is in use (a stub on a chardev with a name of the user's own, `-gdb
/// chardev:X`, can't be told here: see QemuCommandLine::gdbstub). invalid (nothing was changed): no such
/// vCPU. source_failed: QEMU did not take a value; others may have been set.
[[nodiscard]] Result<void> set_registers(MonitorSession& session, VcpuId vcpu,
                                         std::span<const RegisterValue> values);

/// unsupported, with the names, where `values` has registers that set_registers() can't set.
[[nodiscard]] Result<void> check_settable(std::span<const RegisterValue> values);

} // namespace vmemfs::qemu
