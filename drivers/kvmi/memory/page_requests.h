// SPDX-License-Identifier: MIT
// Reads and writes of guest memory: requests of one page each, as many on their way as the connection takes.
#pragma once

#include "core/memory_map.h"
#include "driver/driver.h"
#include "drivers/kvmi/link/session.h"
#include "drivers/kvmi/mapping/mapped_memory.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs::kvmi {

/// Driver::read() of a VM with this map. A page that the map has and the VM has not is a bad page. `mapped`:
/// pages that need no request; null: there are none.
void read_pieces(Session& session, const MemoryMap& map, MappedMemory* mapped, std::span<ReadPiece> pieces);

/// Writes all of `bytes`, or as much from the start as the VM takes.
[[nodiscard]] WriteOutcome write_pages(Session& session, Gpa gpa, std::span<const std::byte> bytes);

/// Which of these pages hold memory; see TryPages.
[[nodiscard]] Result<void> try_pages(Session& session, std::span<const Gpa> pages,
                                     std::span<std::uint8_t> present);

} // namespace vmemfs::kvmi
