// SPDX-License-Identifier: MIT
// Command `vmemfs drivers [NAME]`.
#pragma once

#include <string_view>

namespace vmemfs {

/// Prints one driver, or all if `name` is empty. Returns the process's exit code.
[[nodiscard]] int list_drivers(std::string_view name);

} // namespace vmemfs
