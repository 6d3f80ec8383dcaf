// SPDX-License-Identifier: MIT
// Notes of an ELF core for a riscv64 hart, as Linux lays them out, and as QEMU writes them.
#pragma once

#include "core/register_set.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs::riscv64 {

/// The `elf_prstatus` of Linux: general registers, with `pid` as the number of the thread. Absent
/// registers are 0.
inline constexpr std::size_t kPrstatusBytes = 376;
using Prstatus = std::array<std::byte, kPrstatusBytes>;
[[nodiscard]] Prstatus prstatus(const RegisterSet& registers, std::uint32_t pid);

/// The registers of such a note.
[[nodiscard]] RegisterSet prstatus_registers(std::span<const std::byte, kPrstatusBytes> note);

} // namespace vmemfs::riscv64
