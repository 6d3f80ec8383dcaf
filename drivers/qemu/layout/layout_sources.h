// SPDX-License-Identifier: MIT
// Sources of a guest's memory layout in QEMU: the monitor, the flat view, a guess.
#pragma once

#include "core/error.h"
#include "drivers/qemu/discovery/command_line.h"
#include "drivers/qemu/flat_view/flat_view.h"
#include "drivers/qemu/monitor/monitor.h"
#include "host/process_space.h"
#include "vmm/guest_layout.h"

namespace vmemfs::qemu {

/// Reads `info mtree -f`, gpa2hva, query-pci and query-memdev, in one session.
[[nodiscard]] Result<GuestLayout> layout_from_monitor(MonitorSession& session);

/// From QEMU's own flat view, without a monitor.
[[nodiscard]] Result<GuestLayout> layout_from_flat_view(const FlatViewReader& reader);

/// Guesses from the machine type and memory size on the command line, so it may be wrong.
[[nodiscard]] Result<GuestLayout> layout_by_guess(const QemuCommandLine& command_line,
                                                  const ProcessSpace& space);

} // namespace vmemfs::qemu
