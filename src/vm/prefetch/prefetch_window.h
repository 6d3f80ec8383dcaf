// SPDX-License-Identifier: MIT
// Prefetch together with a read: pages that follow are added to a call of the driver that is made anyway.
#pragma once

#include "vm/prefetch/read_ahead.h"

#include <algorithm>
#include <cstddef>

namespace vmemfs {

/// One read's part in it. Without an open file's ReadAhead, nothing is prefetched.
struct PrefetchWindow {
  ReadAhead* read_ahead = nullptr;
  std::size_t max_bytes = 0;   ///< of a sequential reader; 0 if a batch of many pages is not cheap
  std::size_t block_bytes = 0; ///< with an isolated read, that included; 0: only what was requested

  /// Number of bytes after a read of this size to fetch with it.
  [[nodiscard]] std::size_t take(std::size_t size) const {
    if (read_ahead == nullptr) {
      return 0;
    }
    const std::size_t window = max_bytes == 0 ? 0 : std::min(read_ahead->take_window(), max_bytes);
    return window != 0 ? window : block_bytes - std::min(block_bytes, size);
  }
};

} // namespace vmemfs
