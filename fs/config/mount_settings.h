// SPDX-License-Identifier: MIT
// Settings of a mount, declared once for the command line and the configuration.
#pragma once

#include "driver/params.h"

#include <span>

namespace vmemfs {

/// Between the drivers in `discover_with`.
inline constexpr char kDiscoverySeparator = '\n';

/// The keys of [mount] in the configuration. On the command line '_' becomes '-', and flags that are on by
/// default are turned off with --no-NAME.
[[nodiscard]] std::span<const ParamSpec> mount_specs();

} // namespace vmemfs
