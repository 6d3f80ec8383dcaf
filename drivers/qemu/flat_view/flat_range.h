// SPDX-License-Identifier: MIT
// A range of QEMU's flat view.
#pragma once

#include "core/gpa.h"
#include "host/hva.h"

#include <cstdint>
#include <string>

namespace vmemfs::qemu {

/// One range of guest physical addresses that is backed by memory.
struct FlatRangeInfo {
  GpaRange range;
  bool rom = false;         ///< read-only to the guest, or flash in its readable mode
  bool writable = false;    ///< guest stores go directly to the memory
  bool device = false;      ///< `ramd`: a mapped device (VFIO); reading it may have side effects
  bool nonvolatile = false; ///< of an NVDIMM
  bool backend = false;     ///< of a memory backend (`-object memory-backend-*`)
  bool virtio_mem = false;  ///< memory of a virtio-mem device
  std::string name;         ///< of the MemoryRegion, as `info mtree -f` shows it; not trusted
  std::string block_id;     ///< of the RAMBlock; PCI device memory has a prefix such as "0000:00:02.0/"
  std::uint64_t offset = 0; ///< of range.begin in the block, in bytes
  Hva hva = 0;              ///< of range.begin in QEMU

  friend bool operator==(const FlatRangeInfo&, const FlatRangeInfo&) = default;
};

} // namespace vmemfs::qemu
