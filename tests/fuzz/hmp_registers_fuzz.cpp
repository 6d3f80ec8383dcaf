// SPDX-License-Identifier: MIT
// QEMU's answer to `info registers -a`.
#include "core/register_set.h"
#include "drivers/qemu_protocol/hmp_registers.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  const auto sets = vmemfs::parse_info_registers(text);
  if (!sets) {
    return;
  }
  vmemfs::fuzz::expect(!sets->empty() && sets->size() <= 8192, "the number of vCPUs is limited");
  for (const vmemfs::RegisterSet& set : {sets->front(), sets->back()}) {
    const auto again = vmemfs::parse_registers(set.layout(), vmemfs::to_text(set));
    vmemfs::fuzz::expect(set.empty() != again.has_value(), "the text of registers can be read");
  }
}
