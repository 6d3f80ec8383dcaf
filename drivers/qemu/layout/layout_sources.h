// SPDX-License-Identifier: MIT
// Sources of a guest's memory layout in QEMU: the monitor, the flat view, a guess.
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "drivers/qemu/discovery/command_line.h"
#include "drivers/qemu/flat_view/flat_view.h"
#include "drivers/qemu/monitor/monitor.h"
#include "host/process_space.h"
#include "vmm/guest_layout.h"

#include <vector>

namespace vmemfs::qemu {

struct MonitorLayout {
  GuestLayout layout;
  /// Optional commands that QEMU refused, with what is lost: without one, `layout` has the ranges, but the
  /// kinds of some may be wrong.
  std::vector<ProbeResult> refused;
};

/// True if they have the same ranges and, unless a command that decides about them was refused, kinds.
[[nodiscard]] bool agree(const MonitorLayout& by_monitor, const GuestLayout& by_view);

/// Reads `info mtree -f` and gpa2hva, and if QEMU has them query-pci and query-memdev, in one session.
[[nodiscard]] Result<MonitorLayout> layout_from_monitor(MonitorSession& session);

/// From QEMU's own flat view, without a monitor.
[[nodiscard]] Result<GuestLayout> layout_from_flat_view(const FlatViewReader& reader);

/// Guesses from the machine type and memory size on the command line, so it may be wrong.
[[nodiscard]] Result<GuestLayout> layout_by_guess(const QemuCommandLine& command_line,
                                                  const ProcessSpace& space);

} // namespace vmemfs::qemu
