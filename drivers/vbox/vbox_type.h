// SPDX-License-Identifier: MIT
// The driver type `vbox`.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& vbox_driver_type();

} // namespace vmemfs
