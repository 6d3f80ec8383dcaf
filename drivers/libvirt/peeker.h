// SPDX-License-Identifier: MIT
// Reads guest physical memory by virDomainMemoryPeek().
//
// A call costs a round trip and some milliseconds of the daemon, which has QEMU write the bytes to a file. So
// pieces that are neighbours are fetched as one, and where little lies between them, that as well. libvirt
// lets one call at a time get at a domain, so those of a batch are made one after the other; what can be
// under way at once is left to those who read.
#pragma once

#include "driver/driver.h"
#include "drivers/libvirt/domain.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>

namespace vmemfs::libvirt {

/// Thread-safe.
class Peeker {
public:
  /// Of one call. libvirt takes up to 4 MiB; QEMU does nothing else meanwhile.
  static constexpr std::size_t kMaxCallBytes = std::size_t{1} << 20U;
  static constexpr std::size_t kMinCallBytes = std::size_t{64} << 10U;
  /// What lies between two pieces is fetched as well up to this size: it costs less than a call of its own.
  static constexpr std::size_t kBridged = std::size_t{64} << 10U;

  explicit Peeker(std::shared_ptr<Domain> domain) : domain_{std::move(domain)} {}

  /// As Driver::read(), but nothing outside of `map` is ever asked for: there may be a device that minds.
  void read(std::span<ReadPiece> pieces, const MemoryMap& map);

  /// By some reads of memory that is there. Also finds out how much a call may fetch so that it takes no
  /// longer than a second or so, over whatever line.
  [[nodiscard]] Result<ReadCost> measure(const MemoryMap& map);

  [[nodiscard]] std::size_t max_call_bytes() const { return max_call_bytes_; }

private:
  const std::shared_ptr<Domain> domain_;
  std::atomic<std::size_t> max_call_bytes_{kMinCallBytes};
};

} // namespace vmemfs::libvirt
