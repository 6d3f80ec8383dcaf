// SPDX-License-Identifier: MIT
// Decorator that counts the reads of a driver.
#pragma once

#include "driver/decorators/forwarding_driver.h"

#include <atomic>
#include <cstdint>

namespace vmemfs {

struct DriverMetrics {
  std::uint64_t reads = 0;  ///< batches
  std::uint64_t pieces = 0; ///< pieces in all batches
  std::uint64_t bytes = 0;  ///< bytes read
  std::uint64_t failed_pieces = 0;
};

class MetricsDriver : public ForwardingDriver {
public:
  using ForwardingDriver::ForwardingDriver;

  void read(std::span<ReadPiece> pieces) override {
    ForwardingDriver::read(pieces);
    std::uint64_t bytes = 0;
    std::uint64_t failed = 0;
    for (const ReadPiece& piece : pieces) {
      bytes += piece.done;
      failed += piece.failure.has_value() ? 1 : 0;
    }
    reads_.fetch_add(1, std::memory_order_relaxed);
    pieces_.fetch_add(pieces.size(), std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
    failed_.fetch_add(failed, std::memory_order_relaxed);
  }
  /// Borrowed memory cannot be counted.
  DirectMemory* direct_memory() override { return nullptr; }

  [[nodiscard]] DriverMetrics metrics() const { return {reads_, pieces_, bytes_, failed_}; }

private:
  std::atomic<std::uint64_t> reads_{0};
  std::atomic<std::uint64_t> pieces_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> failed_{0};
};

} // namespace vmemfs
