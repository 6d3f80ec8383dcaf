// SPDX-License-Identifier: MIT
// Search for where a VirtualBox guest has memory: FDP tells only how much of it there is.
//
// Memory begins at 0 and leaves out the hole below 4 GiB, where the devices are. VirtualBox makes that hole
// 512 MiB large, and so does the search first; what it assumes is checked by reading pages at both sides of
// each border. A function without state, thread-safe.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"

#include <cstdint>
#include <functional>

namespace vmemfs::vbox {

/// Whether a page can be read.
using PageProbe = std::function<Result<bool>(Gpa)>;

/// The map of a guest with `ram_bytes` of RAM; some hundred pages are read at most. source_failed: no
/// arrangement fits; the text names maps=. An error of `readable` ends the search.
[[nodiscard]] Result<MemoryMap> find_memory(std::uint64_t ram_bytes, const PageProbe& readable);

} // namespace vmemfs::vbox
