// SPDX-License-Identifier: MIT
// The text of `info`.
#pragma once

#include "vm/vm.h"

#include <string>

namespace vmemfs {

/// A JSON object, indented, ending in a newline.
[[nodiscard]] std::string info_text(Vm& vm);

} // namespace vmemfs
