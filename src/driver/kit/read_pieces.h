// SPDX-License-Identifier: MIT
// Helpers for Driver::read().
#pragma once

#include "driver/driver.h"

#include <span>

namespace vmemfs {

/// Nothing of the pieces was read, for the same reason.
inline void fail_pieces(std::span<ReadPiece> pieces, ErrorKind why) {
  for (ReadPiece& piece : pieces) {
    piece.done = 0;
    piece.failure = why;
  }
}

} // namespace vmemfs
