// SPDX-License-Identifier: MIT
// A vCPU as QEMU's monitor lists it.
#pragma once

#include "core/gpa.h"

#include <sys/types.h>

namespace vmemfs::qemu {

struct QemuVcpu {
  VcpuId id;
  pid_t thread = 0; ///< that runs it, as QEMU's own pid namespace numbers it; 0 if not told
};

} // namespace vmemfs::qemu
