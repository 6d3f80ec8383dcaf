// SPDX-License-Identifier: MIT
// The status text of `control`.
#pragma once

#include "vm/vm.h"

#include <string>

namespace vmemfs {

/// The hypervisor's name of the VM's state; "gone" or "unknown" if there is none. Asks the driver.
[[nodiscard]] std::string state_name(Vm& vm);

/// `key value` lines, then one line per command. Asks the driver for the state.
[[nodiscard]] std::string status_text(Vm& vm);

} // namespace vmemfs
