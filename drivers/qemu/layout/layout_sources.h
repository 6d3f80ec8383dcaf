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

#include <string>
#include <vector>

namespace vmemfs::qemu {

struct MonitorLayout {
  GuestLayout layout; ///< with the memory of virtio-mem devices that is not plugged
  /// Optional commands that QEMU refused, with what is lost: without one, `layout` has the ranges, but the
  /// kinds of some may be wrong.
  std::vector<ProbeResult> refused;
};

/// What of virtio-mem is not plugged, as far as QEMU's monitor says it: how much is plugged, but not where.
struct MonitorPlugs {
  std::vector<GpaRange> unplugged; ///< of devices that have nothing plugged; sorted, no overlap
  bool unknown = false;            ///< there are devices of which a part is plugged
};

struct ViewLayout {
  GuestLayout whole;               ///< with the memory of virtio-mem devices that is not plugged
  std::vector<GpaRange> unplugged; ///< sorted, no overlap
  bool plugs_unknown = false;      ///< see FlatView

  [[nodiscard]] GuestLayout plugged() const;
};

/// Names the first range in which they differ; kinds do not count if a command that decides about them was
/// refused. Empty: they agree.
[[nodiscard]] std::string difference(const MonitorLayout& by_monitor, const GuestLayout& by_view);

/// Reads `info mtree -f` and gpa2hva, and if QEMU has them query-pci and query-memdev, in one session.
[[nodiscard]] Result<MonitorLayout> layout_from_monitor(MonitorSession& session);

/// Reads query-memory-devices. An answer that cannot be used is no error: `unknown` is set.
[[nodiscard]] Result<MonitorPlugs> plugs_from_monitor(MonitorSession& session);

/// From QEMU's own flat view, without a monitor.
[[nodiscard]] Result<ViewLayout> layout_from_flat_view(const FlatViewReader& reader);

/// Guesses from the machine type and memory size on the command line, so it may be wrong.
[[nodiscard]] Result<GuestLayout> layout_by_guess(const QemuCommandLine& command_line,
                                                  const ProcessSpace& space);

} // namespace vmemfs::qemu
