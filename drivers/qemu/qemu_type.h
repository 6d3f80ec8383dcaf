// SPDX-License-Identifier: MIT
// The `qemu` driver's entry in the table of drivers.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& qemu_driver_type();

} // namespace vmemfs
