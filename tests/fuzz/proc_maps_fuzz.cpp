// SPDX-License-Identifier: MIT
// /proc/PID/maps, in which processes choose the names.
#include "fuzz/fuzz_target.h"
#include "host/proc_maps.h"

FUZZ_TARGET(text) {
  const auto maps = vmemfs::parse_maps(text);
  for (std::size_t i = 0; maps && i < maps->size(); ++i) {
    const auto& vma = (*maps)[i];
    vmemfs::fuzz::expect(vmemfs::find_vma(*maps, vma.range.begin) == &vma, "an area is found by its address");
  }
}
