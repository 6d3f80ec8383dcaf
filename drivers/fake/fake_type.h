// SPDX-License-Identifier: MIT
// The `fake` driver's entry in the table of drivers.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& fake_driver_type();

} // namespace vmemfs
