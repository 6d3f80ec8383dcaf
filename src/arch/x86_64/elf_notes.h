// SPDX-License-Identifier: MIT
// Notes of an ELF core for an x86-64 vCPU, as Linux and QEMU lay them out.
#pragma once

#include "arch/x86_64/note_fields.h"
#include "core/register_set.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace vmemfs::x86_64 {

/// The `elf_prstatus` of Linux: general registers, with `pid` as the number of the thread. Absent registers
/// are 0.
using Prstatus = std::array<std::byte, kPrstatusBytes>;
[[nodiscard]] Prstatus prstatus(const RegisterSet& registers, std::uint32_t pid);

/// The `QEMUCPUState` of QEMU: general, segment and control registers.
using QemuCpuState = std::array<std::byte, 440>;
[[nodiscard]] QemuCpuState qemu_cpu_state(const RegisterSet& registers);

} // namespace vmemfs::x86_64
