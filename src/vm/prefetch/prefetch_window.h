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
  std::size_t max_bytes = 0; ///< 0 if a batch of many pages is not cheap

  /// Number of bytes after the read to fetch with it.
  [[nodiscard]] std::size_t take() const {
    return read_ahead == nullptr || max_bytes == 0 ? 0 : std::min(read_ahead->take_window(), max_bytes);
  }
};

} // namespace vmemfs
