// SPDX-License-Identifier: MIT
// Driver type of the `kvm` driver.
#pragma once

#include "driver/driver_type.h"

namespace vmemfs {

[[nodiscard]] const DriverType& kvm_driver_type();

} // namespace vmemfs
