// SPDX-License-Identifier: MIT
// The `leechcore` driver's entry in the table of drivers.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& leechcore_driver_type();

} // namespace vmemfs
