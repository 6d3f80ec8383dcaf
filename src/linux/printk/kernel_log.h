// SPDX-License-Identifier: MIT
// The log of a Linux kernel, as dmesg(1) prints it.
//
// Formats: kernel/printk/printk_ringbuffer.c of the kernel since 5.10, and the records of
// kernel/printk/printk.c of 3.5 to 5.9. Addresses, sizes and offsets are those of the kernel's VMCOREINFO.
#pragma once

#include "core/error.h"
#include "linux/kernel_memory.h"
#include "linux/vmcoreinfo.h"

#include <string>

namespace vmemfs {

/// Lines such as "[    1.250000] Linux version 6.1.0". The lines of one record after its first are indented,
/// and bytes that are not printable ASCII are shown as \xNN, as dmesg does in the C locale. A record that a
/// guest writes or overwrites meanwhile, or that makes no sense, is left out; if any is, the last line says
/// so and begins with "# incomplete: ".
///
/// Waits for the guest's memory. no_data: VMCOREINFO does not say where the log is, what it says makes no
/// sense, or the log's memory cannot be read.
[[nodiscard]] Result<std::string> kernel_log(KernelMemory& memory, const Vmcoreinfo& info);

} // namespace vmemfs
