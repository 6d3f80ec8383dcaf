// SPDX-License-Identifier: MIT
// The text of `info`.
#pragma once

#include "vm/vm.h"

#include <string>
#include <string_view>

namespace vmemfs {

/// A JSON object, indented, ending in a newline. Asks the driver for the state.
[[nodiscard]] std::string info_text(Vm& vm);
/// The same with this state. Asks nobody.
[[nodiscard]] std::string info_text(Vm& vm, std::string_view state);

} // namespace vmemfs
