// SPDX-License-Identifier: MIT
// A virtio-mem device as QEMU's monitor lists it.
#pragma once

#include "core/gpa.h"

#include <cstdint>

namespace vmemfs::qemu {

struct VirtioMemDevice {
  GpaRange range;                  ///< all that can be plugged
  std::uint64_t plugged_bytes = 0; ///< how much of it is
};

} // namespace vmemfs::qemu
