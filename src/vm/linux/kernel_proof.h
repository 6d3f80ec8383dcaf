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

/// Max number of times that the ring of the processes of a kernel that runs is walked until it closes.
inline constexpr unsigned kMaxRingWalks = 16;

/// `kernel`: one whose own page tables map its image; see examine_kernel(). All that is read is bounded.
/// structures: all of this is true:
/// - vmcoreinfo_data points to this VMCOREINFO, and linux_banner and init_uts_ns have its release;
/// - page tables have linux_banner where the image is;
/// - init_task is a `swapper`, and the ring of processes from it closes: each element is a process, and all
///   but a few point to the one before them, as processes may begin and end while a tool copies memory.
/// vmcoreinfo: the ring cannot be read, as the kernel has no types or unknown ones; the rest is true.
/// A kernel whose symbols are those of code alone has these variables where what they have is; see
/// landmarks.h. Without types it is not proven, as it may have some that are damaged.
/// `ring_walks`: 1 for memory that does not change.
/// no_data: it is not the one that runs, or that cannot be known; the text says why. timed_out: `limit`, or
/// that of the calling thread's work, was reached.
[[nodiscard]] Result<ProvenBy> prove_kernel(AddressSpace& memory, const LinuxKernel& kernel,
                                            std::chrono::seconds limit, unsigned ring_walks = 1);

/// Whether a kernel that was proven so still is: by its variables and its ring, which takes about a
/// millisecond. `kernel` was examined again, and has the same VMCOREINFO.
[[nodiscard]] bool is_still_proven(AddressSpace& memory, const LinuxKernel& kernel, const ProvenBy& by,
                                   std::chrono::seconds limit);

} // namespace vmemfs
