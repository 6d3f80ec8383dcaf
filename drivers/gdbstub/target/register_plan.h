// SPDX-License-Identifier: MIT
// Places of our registers in what a server sends of its target's.
//
// The reply to g has all registers in the order of their numbers, as far as it goes; those behind its end are
// read one by one, by p. That is how GDB takes it, too. Values are in the byte order of the target, which is
// little for the architectures that have a layout here.
#pragma once

#include "core/error.h"
#include "core/register_set.h"
#include "drivers/gdbstub/target/target_description.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vmemfs::gdbstub {

struct PlannedRegister {
  RegisterIndex reg;
  std::uint32_t number; ///< of the server
  std::size_t offset;   ///< in the reply to g, in hex digits
  std::size_t digits;   ///< at most 16
};

struct RegisterPlan {
  const RegisterLayout* layout;
  std::vector<PlannedRegister> registers; ///< each of the layout once at most, sorted by number
};

/// unsupported: the architecture has no layout, or none of the registers is in it.
[[nodiscard]] Result<RegisterPlan> plan_registers(const TargetDescription& description);

/// Sets the register to the value; leaves it absent if the server does not have it ("xx").
void take_register(RegisterSet& registers, const PlannedRegister& planned, std::string_view digits);

} // namespace vmemfs::gdbstub
