// SPDX-License-Identifier: MIT
// Resolver of the flat view's ranges: the MemoryRegion and RAMBlock behind each of them, and the virtio-mem
// devices.
#pragma once

#include "core/error.h"
#include "drivers/qemu/flat_view/flat_range.h"
#include "drivers/qemu/flat_view/flat_view_capture.h"
#include "drivers/qemu/flat_view/flat_view_layout.h"
#include "drivers/qemu/flat_view/virtio_mem.h"
#include "host/process_space.h"

#include <vector>

namespace vmemfs::qemu {

struct ResolvedView {
  std::vector<FlatRangeInfo> ranges;
  std::vector<VirtioMemRegion> virtio_mem; ///< one for each device, at most kMaxVirtioMem
  bool virtio_mem_left_out = false;        ///< there are more, or some that cannot be
};

/// Reads the MemoryRegion and RAMBlock of each range; I/O and flash in command mode are left out. All or
/// nothing: source_failed if any check fails, which may only mean that QEMU replaced the view meanwhile.
[[nodiscard]] Result<ResolvedView> resolve_ranges(const ProcessSpace& space, const FlatViewLayout& layout,
                                                  const std::vector<RawRange>& raw_ranges);

} // namespace vmemfs::qemu
