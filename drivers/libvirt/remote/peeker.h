// SPDX-License-Identifier: MIT
// Reads of guest physical memory by virDomainMemoryPeek().
//
// A call costs a round trip and some milliseconds of the daemon, as QEMU writes the bytes to a file. So
// adjacent pieces are fetched by one call, including small gaps between them. libvirt serves one call per
// domain at a time, so the calls of a batch are made one after the other; concurrency is up to the readers.
#pragma once

#include "driver/driver.h"
#include "drivers/libvirt/domain/domain.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>

namespace vmemfs::libvirt {

/// Thread-safe.
class Peeker {
public:
  /// The size of one call. libvirt allows up to 4 MiB; QEMU does nothing else during a call.
  static constexpr std::size_t kMaxCallBytes = std::size_t{1} << 20U;
  static constexpr std::size_t kMinCallBytes = std::size_t{64} << 10U;
  /// A gap of up to this size between two pieces is fetched as well: that costs less than another call.
  static constexpr std::size_t kBridged = std::size_t{64} << 10U;

  explicit Peeker(std::shared_ptr<Domain> domain) : domain_{std::move(domain)} {}

  /// As Driver::read(), but never reads outside of `map`, where a device may react to reads.
  void read(std::span<ReadPiece> pieces, const MemoryMap& map);

  /// Measures with some reads of existing memory. Also chooses the size of a call so that it takes about a
  /// second at most, however slow the connection is.
  [[nodiscard]] Result<ReadCost> measure(const MemoryMap& map);

  [[nodiscard]] std::size_t max_call_bytes() const { return max_call_bytes_; }

private:
  const std::shared_ptr<Domain> domain_;
  std::atomic<std::size_t> max_call_bytes_{kMinCallBytes};
};

} // namespace vmemfs::libvirt
