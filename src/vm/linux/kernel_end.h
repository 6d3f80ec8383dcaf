// SPDX-License-Identifier: MIT
// End of a Linux kernel that leaves its machine to another one, as by kexec.
//
// The other vCPUs are then stopped for good by a function of the kernel that ends, with its page tables,
// until the next kernel starts them, which it may never do: a capture kernel has one vCPU as a rule. They
// prove nothing any more.
#pragma once

#include "core/register_set.h"
#include "vm/linux/linux_kernel.h"
#include "vm/memory/address_space.h"

#include <chrono>
#include <span>

namespace vmemfs {

/// `kernel` is one that at least one of the vCPUs runs. True if all those that run it are in a function that
/// never returns, and another one has page tables of something else. Of a kernel that only has stopped, as
/// after a panic, it is false. Waits for the guest's memory; reads its symbols only if little else is left.
/// `limit`: of the examination of page tables.
[[nodiscard]] bool has_ended(AddressSpace& memory, const LinuxKernel& kernel,
                             std::span<const RegisterSet> vcpus, std::chrono::seconds limit);

} // namespace vmemfs
