// SPDX-License-Identifier: MIT
// Driver type of the `qemu` driver.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& qemu_driver_type();

} // namespace vmemfs
