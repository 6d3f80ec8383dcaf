// SPDX-License-Identifier: MIT
#include "fs/daemon/mount_needs.h"

#include "drivers/all_drivers.h"
#include "fs/fuse/ring/ring_server.h"

namespace vmemfs {

bool uses_rings(const MountOptions& options) {
  return options.io_uring == IoUring::on ||
         (options.io_uring == IoUring::automatic && !options.for_others() && RingServer::is_enabled());
}

Needs mount_needs(const MountOptions& options) {
  const bool discovers_by_default = options.discover && options.discoveries.empty();
  Needs all;
  if (uses_rings(options)) {
    all.system_calls.push_back({"io_uring_enter", "the kernel's requests by io_uring"});
  }
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
