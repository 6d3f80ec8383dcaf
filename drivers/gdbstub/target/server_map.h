// SPDX-License-Identifier: MIT
// Memory map of a target by the server's XML.
//
// Source: "Memory Map Format" in GDB's manual.
#pragma once

#include "core/error.h"
#include "core/memory_map.h"

#include <string_view>

namespace vmemfs::gdbstub {

/// `text`: of the object memory-map. source_failed: malformed, or over a limit.
[[nodiscard]] Result<MemoryMap> parse_memory_map_xml(std::string_view text);

} // namespace vmemfs::gdbstub
