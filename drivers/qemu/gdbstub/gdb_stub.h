// SPDX-License-Identifier: MIT
// The only gdbstub of a QEMU: whether it is off, the user's own, or used by somebody.
//
// Source: `query-chardev` (checked with QEMU 7.2). The user's stub is on a chardev "gdb", or on one with a
// name that the user chose.
#pragma once

#include "core/error.h"
#include "drivers/qemu/monitor/monitor.h"

#include <span>
#include <string>
#include <string_view>

namespace vmemfs::qemu {

/// Id of the chardev on which a visit starts a stub that is off.
inline constexpr std::string_view kVisitChardev = "vmemfs-gdb";
/// Name in QEMU of its duplicate of our end of the visit's socket pair.
inline constexpr const char* kOurEnd = "vmemfs-gdb-end";

/// Finds out who uses the stub, waits a moment for another vmemfs, and removes what an earlier one left
/// behind. Returns the id of the user's chardev, to which no debugger is connected, or an empty text if the
/// stub is off.
///
/// `user_chardevs`: see QemuCommandLine::gdbstub_chardevs. busy: a debugger or another vmemfs is connected.
/// unsupported: the user's stub is not on a listening socket, so nobody knows if it is in use.
[[nodiscard]] Result<std::string> claim_stub(MonitorSession& session,
                                             std::span<const std::string> user_chardevs);

/// Whether something that is not vmemfs is connected to the user's stub.
[[nodiscard]] bool debugger_is_connected(MonitorSession& session, std::span<const std::string> user_chardevs);

} // namespace vmemfs::qemu
