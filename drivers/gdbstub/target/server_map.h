// SPDX-License-Identifier: MIT
// Memory map of a target: by the server's XML, or by the user.
//
// Sources: "Memory Map Format" in GDB's manual; the form of the parameter maps= is BEGIN-END[:KIND], several
// joined by "+", such as 0-640K+1M-128M+0xfffc0000-4G:rom. END is excluded, as in the file `maps`. Sizes and
// addresses are numbers, in hex with 0x, or with K, M, G or T.
#pragma once

#include "core/error.h"
#include "core/memory_map.h"

#include <string_view>

namespace vmemfs::gdbstub {

/// `text`: of the object memory-map. source_failed: malformed, or over a limit.
[[nodiscard]] Result<MemoryMap> parse_memory_map_xml(std::string_view text);

/// invalid: the text shows the form.
[[nodiscard]] Result<MemoryMap> parse_maps(std::string_view text);

} // namespace vmemfs::gdbstub
