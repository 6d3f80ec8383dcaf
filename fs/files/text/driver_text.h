// SPDX-License-Identifier: MIT
// The description of a driver and its parameters: `vmemfs drivers` and `.vmemfs/drivers/NAME`.
#pragma once

#include "driver/driver_type.h"

#include <string>

namespace vmemfs {

[[nodiscard]] std::string driver_text(const DriverType& type);

} // namespace vmemfs
