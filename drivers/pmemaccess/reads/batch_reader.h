// SPDX-License-Identifier: MIT
// Reads of guest memory over a link, as Driver::read() has them.
//
// A request costs a round trip and two wake-ups, so adjacent pieces are fetched by one, including small gaps
// between them. A request never crosses the end of a region: QEMU fails it as a whole. If it fails, it is
// halved down to pages, so that what can be read is.
#pragma once

#include "core/memory_map.h"
#include "driver/driver.h"
#include "drivers/pmemaccess/session/memory_link.h"

#include <cstddef>
#include <span>

namespace vmemfs::pmemaccess {

/// Thread-safe.
class BatchReader {
public:
  /// A gap of up to this size between two pieces is fetched as well.
  static constexpr std::size_t kBridged = 2 * kPageSize;

  explicit BatchReader(MemoryLink& link) : link_{link} {}

  /// As Driver::read(), within `map` alone. All of it has twice the link's time limit.
  void read(std::span<ReadPiece> pieces, const MemoryMap& map);

  /// Measured with some reads of existing memory.
  [[nodiscard]] Result<ReadCost> measure(const MemoryMap& map);

private:
  MemoryLink& link_;
};

} // namespace vmemfs::pmemaccess
