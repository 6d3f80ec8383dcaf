// SPDX-License-Identifier: MIT
// Prefetch together with a read: pages that follow, or that are around it, are added to a call of the driver
// that is made anyway.
#pragma once

#include "core/gpa.h"
#include "vm/prefetch/read_ahead.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// One read's part in it. Without an open file's ReadAhead, nothing is prefetched.
struct PrefetchWindow {
  ReadAhead* read_ahead = nullptr;
  std::size_t max_bytes = 0;   ///< 0 if a batch of many pages is not cheap
  std::size_t block_bytes = 0; ///< 0 if an isolated read fetches only what was requested; a power of two

  /// Number of bytes after the read to fetch with it.
  [[nodiscard]] std::size_t take() const {
    return read_ahead == nullptr || max_bytes == 0 ? 0 : std::min(read_ahead->take_window(), max_bytes);
  }
  /// The aligned block around a small read, for programs that go from structure to structure; else empty.
  [[nodiscard]] GpaRange block_around(const GpaRange& read) const {
    if (read_ahead == nullptr || block_bytes == 0 || read.size() >= block_bytes) {
      return {read.begin, read.begin};
    }
    const Gpa begin{read.begin.value() & ~(std::uint64_t{block_bytes} - 1)};
    return {begin, begin + block_bytes};
  }
};

} // namespace vmemfs
