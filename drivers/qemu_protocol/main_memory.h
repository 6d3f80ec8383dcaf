// SPDX-License-Identifier: MIT
// Main memory and ROM among the ranges that QEMU's `info mtree -f` lists.
//
// Memory behind PCI BARs is left out, video memory too: the guest can move it without any event, and a
// device's registers, which must not be read, may then take its old place.
//
// A pure function, thread-safe. The ranges are not trusted.
#pragma once

#include "core/error.h"
#include "core/memory_map.h"
#include "drivers/qemu_protocol/mtree.h"

#include <span>

namespace vmemfs {

/// By the names that QEMU and libvirt give main memory; it may have none. source_failed: the ranges are no
/// map.
[[nodiscard]] Result<MemoryMap> main_memory_of(std::span<const MtreeRange> ranges);

} // namespace vmemfs
