// SPDX-License-Identifier: MIT
// Registers that a write changes, out of all that it names.
#pragma once

#include "core/register_set.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <vector>

namespace vmemfs {

/// A whole `regs` file may be written back after an edit: what has not changed need not be set.
[[nodiscard]] inline std::vector<RegisterValue> changed_registers(const RegisterSet& now,
                                                                  std::span<const RegisterValue> values) {
  std::vector<RegisterValue> changed;
  std::ranges::copy_if(values, std::back_inserter(changed),
                       [&](const RegisterValue& value) { return now.get(value.reg) != value.value; });
  return changed;
}

} // namespace vmemfs
