// Reads guest physical memory by virDomainMemoryPeek().
//
// A call costs a round trip and some milliseconds of the daemon, which has QEMU write the bytes to a file. So
// pieces that are neighbours are fetched as one, and where little lies between them, that as well. libvirt
// lets one call at a time get at a domain, so those of a batch are made one after the other; what can be
// under way at once is left to those who read.
#pragma once

#include "driver/driver.h"
#include "drivers/libvirt/domain.h"

#include <cstddef>
#include <memory>
#include <span>

namespace vmemfs::libvirt {

/// Thread-safe.
class Peeker {
public:
  /// Of one call. libvirt takes up to 4 MiB; QEMU does nothing else meanwhile.
  static constexpr std::size_t kMostOfACall = std::size_t{1} << 20U;
  /// What lies between two pieces is fetched as well up to this size: it costs less than a call of its own.
  static constexpr std::size_t kBridged = std::size_t{64} << 10U;

  explicit Peeker(std::shared_ptr<Domain> domain) : domain_{std::move(domain)} {}

  /// As Driver::read(), but nothing outside of `map` is ever asked for: there may be a device that minds.
  void read(std::span<ReadPiece> pieces, const MemoryMap& map);

  /// By some reads of memory that is there.
  [[nodiscard]] Result<ReadCost> measure(const MemoryMap& map);

private:
  const std::shared_ptr<Domain> domain_;
};

} // namespace vmemfs::libvirt
