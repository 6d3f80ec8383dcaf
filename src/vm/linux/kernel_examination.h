// SPDX-License-Identifier: MIT
// Examination of one VMCOREINFO: whether page tables are those of the kernel that it describes.
#pragma once

#include "core/gpa.h"
#include "core/register_set.h"
#include "vm/linux/linux_kernel.h"
#include "vm/memory/address_space.h"

#include <chrono>
#include <optional>
#include <span>

namespace vmemfs {

/// The kernel of the VMCOREINFO in this page, if one of the vCPUs runs it. The memory is not trusted: what is
/// read of page tables is bounded, also by `limit`.
[[nodiscard]] std::optional<LinuxKernel> examine_kernel(AddressSpace& memory, Gpa page,
                                                        std::span<const RegisterSet> vcpus,
                                                        std::chrono::seconds limit);

/// The same without vCPUs: if its own page tables map its image where VMCOREINFO says that it is. That is
/// true of a kernel of a former boot too, as long as nothing else was written there.
[[nodiscard]] std::optional<LinuxKernel> examine_kernel(AddressSpace& memory, Gpa page,
                                                        std::chrono::seconds limit);

} // namespace vmemfs
