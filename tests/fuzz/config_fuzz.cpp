// SPDX-License-Identifier: MIT
// The configuration file.
#include "fs/config/config.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  const vmemfs::fuzz::MemoryFile file{text};
  const auto config = vmemfs::read_config(file.path());
  for (const auto& vm : config.vms) {
    vmemfs::fuzz::expect(vmemfs::parse_pairs(vm.spec.params).problems.empty(),
                         "parameters can be read again");
    vmemfs::fuzz::expect(vmemfs::parse_pairs(vm.spec.options).problems.empty(), "options can be read again");
  }
}
