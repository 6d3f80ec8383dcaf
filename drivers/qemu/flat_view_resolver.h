// SPDX-License-Identifier: MIT
// From the ranges of QEMU's flat view to the memory that they are made of.
#pragma once

#include "core/error.h"
#include "drivers/qemu/flat_view.h"
#include "drivers/qemu/flat_view_capture.h"
#include "drivers/qemu/flat_view_layout.h"
#include "host/process.h"

#include <vector>

namespace vmemfs::qemu {

/// Reads the MemoryRegion and RAMBlock of each range; I/O and flash in command mode are left out. All
/// or nothing: source_failed where anything doesn't check out, which may only mean that the view was
/// replaced meanwhile.
[[nodiscard]] Result<std::vector<FlatRangeInfo>>
resolve_ranges(const Process& process, const FlatViewLayout& layout, const std::vector<RawRange>& raw_ranges);

} // namespace vmemfs::qemu
