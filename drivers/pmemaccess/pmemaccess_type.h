// SPDX-License-Identifier: MIT
// The driver type `pmemaccess`.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& pmemaccess_driver_type();

} // namespace vmemfs
