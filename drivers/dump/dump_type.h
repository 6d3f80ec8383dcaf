// SPDX-License-Identifier: MIT
// The `dump` driver's entry in the table of drivers.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& dump_driver_type();

} // namespace vmemfs
