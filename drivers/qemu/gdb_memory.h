// SPDX-License-Identifier: MIT
// Writes guest memory through QEMU's gdbstub: under TCG the only way that also reaches code which QEMU
// has translated already.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "driver/driver.h"
#include "drivers/qemu/monitor.h"

#include <cstddef>
#include <span>

namespace vmemfs::qemu {

/// What one visit takes.
inline constexpr std::size_t kMaxVisitBytes = std::size_t{32} << 10;

/// Writes at most kMaxVisitBytes bytes to guest physical memory in one visit (see gdb_visit.h). QEMU
/// confirms each packet, but drops silently what falls on a ROM or a hole and hands a device what
/// falls on its registers: the caller sees to it that all of it is writable memory.
///
/// Where the visit fails, `done` is what QEMU has confirmed; it may still write more. busy: the gdbstub
/// is in use, and nothing was written.
[[nodiscard]] WriteOutcome write_by_gdbstub(MonitorSession& session, Gpa gpa,
                                            std::span<const std::byte> bytes);

} // namespace vmemfs::qemu
