// SPDX-License-Identifier: MIT
// Resolver of the flat view's ranges: the MemoryRegion and RAMBlock behind each of them.
#pragma once

#include "core/error.h"
#include "drivers/qemu/flat_view/flat_range.h"
#include "drivers/qemu/flat_view/flat_view_capture.h"
#include "drivers/qemu/flat_view/flat_view_layout.h"
#include "host/process_space.h"

#include <vector>

namespace vmemfs::qemu {

/// Reads the MemoryRegion and RAMBlock of each range; I/O and flash in command mode are left out. All or
/// nothing: source_failed if any check fails, which may only mean that QEMU replaced the view meanwhile.
[[nodiscard]] Result<std::vector<FlatRangeInfo>> resolve_ranges(const ProcessSpace& space,
                                                                const FlatViewLayout& layout,
                                                                const std::vector<RawRange>& raw_ranges);

} // namespace vmemfs::qemu
