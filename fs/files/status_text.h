// SPDX-License-Identifier: MIT
// The text that `control` gives without a command, and to `status`.
#pragma once

#include "vm/vm.h"

#include <string>

namespace vmemfs {

/// The hypervisor's own word for the VM's state; "gone" or "unknown" where there is none. Asks the driver.
[[nodiscard]] std::string state_name(Vm& vm);

/// `key value` lines, then one line a command. Asks the driver for the state.
[[nodiscard]] std::string status_text(Vm& vm);

} // namespace vmemfs
