// SPDX-License-Identifier: MIT
// Decision about the kind of each range of a QEMU guest's memory: the one rule for all sources of the layout.
#pragma once

#include "core/memory_map.h"
#include "vmm/guest_layout.h"

#include <span>
#include <string>
#include <vector>

namespace vmemfs::qemu {

/// A range of memory and what its source says of it. `range.kind` is not set yet.
struct FoundRange {
  LayoutRange range;
  bool rom = false;
  bool nonvolatile = false; ///< part of an NVDIMM
  bool backend =
      false; ///< of a memory backend (`-object memory-backend-*`), as main memory is since QEMU 5.0
  bool behind_bar =
      false; ///< of a PCI device's BAR: the device's own memory, even if it has a backend (ivshmem)
};

/// The layout with a kind for each range, normalized.
///
/// ROM is rom. All other ranges of a block are main memory (ram) if one of its ranges, behind no BAR, has a
/// backend, is non-volatile or begins at address 0; if no block has a backend, as before QEMU 5.0 and on some
/// small machines, also if it shows 1 MiB or more behind no BAR. Other RAM belongs to a device; but if there
/// is no main memory at all, as on microcontrollers, all that the guest can write is.
[[nodiscard]] GuestLayout with_kinds(std::vector<FoundRange> found);

/// Names the first range in which two layouts differ; empty if they have the same memory.
[[nodiscard]] std::string describe_difference(const GuestLayout& by_monitor, const GuestLayout& by_view);

/// Removes the addresses of `holes`, sorted and disjoint, from the layout.
void cut_out(GuestLayout& layout, std::span<const GpaRange> holes);

} // namespace vmemfs::qemu
