// SPDX-License-Identifier: MIT
// A vCPU as QEMU's monitor lists it.
#pragma once

#include "core/gpa.h"

#include <sys/types.h>

namespace vmemfs::qemu {

struct QemuVcpu {
  VcpuId id;
  pid_t thread = 0; ///< its thread, numbered in QEMU's own pid namespace; 0 if unknown
};

} // namespace vmemfs::qemu
