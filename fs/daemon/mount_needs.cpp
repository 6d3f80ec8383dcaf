// SPDX-License-Identifier: MIT
#include "fs/daemon/mount_needs.h"

#include "drivers/all_drivers.h"

namespace vmemfs {

Needs mount_needs(const MountOptions& options) {
  const bool discovers_by_default = options.discover && options.discoveries.empty();
  Needs all;
  for (const DriverType* const type : all_drivers()) {
    if (type->available()) {
      Needs needs = type->needs({});
      needs.network = needs.network && discovers_by_default;
      all.add(needs);
    }
  }
  for (const VmSpec& vm : options.vms) {
    all.add(needs_of_vm(all_drivers(), vm));
  }
  for (const VmSpec& vm : options.wanted) {
    all.add(needs_of_vm(all_drivers(), vm));
  }
  for (const VmSpec& discovery : options.discoveries) {
    all.add(needs_of_discovery(all_drivers(), discovery));
  }
  return all;
}

} // namespace vmemfs
