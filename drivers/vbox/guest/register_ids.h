// SPDX-License-Identifier: MIT
// Registers of a vCPU, as FDP names them.
//
// Segments are there as selectors only. The bases of fs and gs have no register, but an MSR; the other bases,
// limits and attributes cannot be had, and are absent.
#pragma once

#include "arch/x86_64/registers.h"
#include "core/register_set.h"

#include <cstdint>
#include <span>

namespace vmemfs::vbox {

struct RegisterId {
  x86_64::Register reg;
  bool is_msr;
  std::uint32_t number; ///< of FDP, or of the MSR
  std::uint64_t max;    ///< no value is larger
  bool writable;        ///< not: what has hidden parts that would not follow
  bool keeps_value;     ///< what is written reads back unchanged: the CPU fixes none of its bits
};

[[nodiscard]] std::span<const RegisterId> register_ids();

/// nullptr: FDP does not have it.
[[nodiscard]] const RegisterId* find_register(RegisterIndex reg);

} // namespace vmemfs::vbox
