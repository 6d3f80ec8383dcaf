// SPDX-License-Identifier: MIT
// The driver type `toy`.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& toy_driver_type();

} // namespace vmemfs
