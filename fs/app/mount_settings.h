// SPDX-License-Identifier: MIT
// The settings of a mount, declared once: the command line and the configuration take the same.
#pragma once

#include "driver/params.h"

#include <span>

namespace vmemfs {

/// Under their names in [mount] of the configuration. On the command line '_' is '-', and flags that are on
/// unless said are turned off with --no-NAME. Of `discover_with` each line is one driver.
[[nodiscard]] std::span<const ParamSpec> mount_specs();

} // namespace vmemfs
