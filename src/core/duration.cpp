// SPDX-License-Identifier: MIT
#include "core/duration.h"

#include <fmt/format.h>

namespace vmemfs {

std::string duration_text(std::chrono::milliseconds duration) {
  const DurationUnit* unit = kDurationUnits.data();
  for (const DurationUnit& larger : kDurationUnits) {
    if (duration.count() != 0 && duration % larger.length == std::chrono::milliseconds{0}) {
      unit = &larger;
    }
  }
  return fmt::format("{}{}", duration / unit->length, unit->name);
}

} // namespace vmemfs
