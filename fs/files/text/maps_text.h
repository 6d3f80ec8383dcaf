// SPDX-License-Identifier: MIT
// The text of `maps`.
#pragma once

#include "core/memory_map.h"

#include <string>

namespace vmemfs {

/// One line per region: `START-END perms type block+0xOFFSET`, 16 hex digits, END exclusive.
[[nodiscard]] std::string maps_text(const MemoryMap& map);

} // namespace vmemfs
