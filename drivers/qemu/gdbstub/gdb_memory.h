// SPDX-License-Identifier: MIT
// Writes to guest memory through QEMU's gdbstub. Under TCG this is the only way that also invalidates code
// which QEMU has already translated.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "driver/driver.h"
#include "drivers/qemu/monitor/monitor.h"

#include <cstddef>
#include <span>
#include <string>

namespace vmemfs::qemu {

/// The limit of one visit.
inline constexpr std::size_t kMaxVisitBytes = std::size_t{32} << 10;

/// Writes at most kMaxVisitBytes bytes to guest physical memory in one visit (see gdb_visit.h). QEMU confirms
/// each packet, but silently drops bytes that fall on a ROM or a hole and passes bytes that fall on device
/// registers to the device: the caller ensures that the whole range is writable memory.
///
/// If the visit fails, `done` counts what QEMU has confirmed; it may still write more. busy: the gdbstub is
/// in use, and nothing was written. `user_chardevs`: see visit_gdbstub(). The stub's setting of physical
/// addresses (PhyMemMode) is off afterwards.
[[nodiscard]] WriteOutcome write_by_gdbstub(MonitorSession& session, Gpa gpa,
                                            std::span<const std::byte> bytes,
                                            std::span<const std::string> user_chardevs);

} // namespace vmemfs::qemu
