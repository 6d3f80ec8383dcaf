// SPDX-License-Identifier: MIT
// The `xen` driver's entry in the table of drivers.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& xen_driver_type();

} // namespace vmemfs
