// SPDX-License-Identifier: MIT
// The driver type `gdbstub`.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& gdbstub_driver_type();

} // namespace vmemfs
