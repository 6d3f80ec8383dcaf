// SPDX-License-Identifier: MIT
// The driver type `kvmi`.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& kvmi_driver_type();

} // namespace vmemfs
