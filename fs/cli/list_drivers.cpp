// SPDX-License-Identifier: MIT
#include "fs/cli/list_drivers.h"

#include "drivers/all_drivers.h"
#include "fs/files/text/driver_text.h"
#include "vm/vm_options.h"

#include <fmt/format.h>
#include <iostream>

namespace vmemfs {

int list_drivers(std::string_view name) {
  bool found = false;
  for (const DriverType* const type : all_drivers()) {
    if (name.empty() || type->name() == name) {
      found = true;
      std::cout << driver_text(*type) << '\n';
    }
  }
  if (!found) {
    std::cerr << fmt::format("vmemfs: there is no driver '{}'; 'vmemfs drivers' lists them\n", name);
    return 1;
  }
  if (name.empty()) {
    std::cout << "each VM: options of the mount for this VM, given together with its driver's parameters\n"
              << describe(vm_option_specs());
  }
  return 0;
}

} // namespace vmemfs
