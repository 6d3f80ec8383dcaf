// SPDX-License-Identifier: MIT
// A table of drivers for the fuzzers, in place of the build's own: what parses parameters needs some, and
// these two are quick to build.
#include "drivers/all_drivers.h"
#include "drivers/dump/dump_type.h"
#include "drivers/fake/fake_type.h"

#include <array>

namespace vmemfs {

std::span<const DriverType* const> all_drivers() {
  static const std::array<const DriverType*, 2> kDrivers{&dump_driver_type(), &fake_driver_type()};
  return kDrivers;
}

std::vector<AbsentDriver> absent_drivers() { return {{"xen", "the domains of a Xen host", "libxen-dev"}}; }

} // namespace vmemfs
