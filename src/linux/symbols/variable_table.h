// SPDX-License-Identifier: MIT
// The text of src/linux/data/variable_types.txt, which the build puts into the program.
#pragma once

#include <string_view>

namespace vmemfs {

extern const std::string_view kVariableTable;

} // namespace vmemfs
