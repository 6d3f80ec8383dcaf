// SPDX-License-Identifier: MIT
// The log of Linux 3.5 to 5.9: a buffer with records of variable length.
#pragma once

#include "core/error.h"
#include "linux/kernel_memory.h"
#include "linux/vmcoreinfo.h"

#include <string>

namespace vmemfs {

/// As kernel_log() returns it. `info` has SYMBOL(log_buf).
[[nodiscard]] Result<std::string> buffer_log(KernelMemory& memory, const Vmcoreinfo& info);

} // namespace vmemfs
