// SPDX-License-Identifier: MIT
// Memory map from the ranges that QEMU's `info mtree -f` lists.
//
// Memory behind PCI BARs is left out, video memory too: the guest can move it without any event, and QEMU may
// then read a device's registers at the same address, which has effects.
//
// A pure function, thread-safe. The ranges are not trusted.
#pragma once

#include "core/error.h"
#include "core/memory_map.h"
#include "drivers/qemu_protocol/mtree.h"

#include <span>

namespace vmemfs::pmemaccess {

/// Main memory, by the names that QEMU gives it, and ROM. source_failed: there is no main memory.
[[nodiscard]] Result<MemoryMap> map_of(std::span<const MtreeRange> ranges);

} // namespace vmemfs::pmemaccess
