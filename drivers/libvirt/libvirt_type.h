// SPDX-License-Identifier: MIT
// The `libvirt` driver's entry in the table of drivers.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& libvirt_driver_type();

} // namespace vmemfs
