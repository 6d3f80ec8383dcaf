// SPDX-License-Identifier: MIT
// Proof without registers that a kernel in memory is the one that runs.
//
// A kernel of a former boot may lie complete in memory, with its own page tables. What it allocated is soon
// used by the one after it, so it is recognized by what can be reached from it: the VMCOREINFO that its
// variable vmcoreinfo_data points to, and the ring of its processes.
#pragma once

#include "core/error.h"
#include "vm/linux/linux_kernel.h"
#include "vm/memory/address_space.h"

#include <chrono>

namespace vmemfs {

/// `kernel`: one whose own page tables map its image; see examine_kernel(). Of memory that does not change.
/// All that is read is bounded. structures: all of this is true:
/// - vmcoreinfo_data points to this VMCOREINFO, and linux_banner and init_uts_ns have its release;
/// - page tables have linux_banner where the image is;
/// - init_task is a `swapper`, and the ring of processes from it closes: each element is a process, and all
///   but a few point to the one before them, as processes may begin and end while a tool copies memory.
/// vmcoreinfo: the ring cannot be read, as the kernel has no types or unknown ones; the rest is true.
/// no_data: it is not the one that runs, or that cannot be known; the text says why. timed_out: `limit`, or
/// that of the calling thread's work, was reached.
[[nodiscard]] Result<KernelProof> prove_kernel(AddressSpace& memory, const LinuxKernel& kernel,
                                               std::chrono::seconds limit);

} // namespace vmemfs
