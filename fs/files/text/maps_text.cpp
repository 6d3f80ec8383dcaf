// SPDX-License-Identifier: MIT
#include "fs/files/text/maps_text.h"

#include "core/text.h"

#include <fmt/format.h>

namespace vmemfs {

std::string maps_text(const MemoryMap& map) {
  std::string text;
  for (const Region& region : map.regions()) {
    // No source reports what the guest may execute, so x is never set.
    text += fmt::format("{:016x}-{:016x} r{}- {} {}+{:#x}\n", region.range.begin.value(),
                        region.range.end.value(), region.writable ? 'w' : '-', to_string(region.kind),
                        printable(map.blocks()[region.block]), region.block_offset);
  }
  return text;
}

} // namespace vmemfs
