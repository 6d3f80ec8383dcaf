// SPDX-License-Identifier: MIT
// The log of Linux 5.10 and later: a ring of descriptors without locks, and a ring with their texts.
#pragma once

#include "core/error.h"
#include "linux/kernel_memory.h"
#include "linux/vmcoreinfo.h"

#include <string>

namespace vmemfs {

/// As kernel_log() returns it. `info` has SYMBOL(prb).
[[nodiscard]] Result<std::string> ring_log(KernelMemory& memory, const Vmcoreinfo& info);

} // namespace vmemfs
