// SPDX-License-Identifier: MIT
// Reads of a batch of pieces by packets m or x, as many under way as the link allows.
#pragma once

#include "core/memory_map.h"
#include "driver/driver.h"
#include "drivers/gdbstub/link/server_link.h"

#include <cstddef>
#include <span>

namespace vmemfs::gdbstub {

struct ReadForm {
  std::size_t bytes; ///< with one request, at least 1
  bool binary;       ///< x instead of m
};

/// As Driver::read() of a VM that has not ended; never asks for addresses outside of `map`, where a device
/// may react. A page that the server refuses is a bad_page. If the link fails, the pieces that are not
/// complete fail with its reason.
void read_memory(ServerLink& link, const ReadForm& form, const MemoryMap& map, std::span<ReadPiece> pieces);

} // namespace vmemfs::gdbstub
