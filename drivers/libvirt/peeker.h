// Reads guest physical memory by virDomainMemoryPeek(), several calls at a time.
//
// A call costs a round trip and some milliseconds of the daemon, which has QEMU write the bytes to a file; so
// neighbouring pieces are fetched as one, and a batch that takes several calls has them under way at once.
#pragma once

#include "driver/driver.h"
#include "drivers/libvirt/domain.h"
#include "util/worker.h"

#include <cstddef>
#include <memory>
#include <span>

namespace vmemfs::libvirt {

/// Thread-safe.
class Peeker {
public:
  /// Of one call. libvirt takes up to 4 MiB; QEMU does nothing else meanwhile.
  static constexpr std::size_t kMostOfACall = std::size_t{1} << 20U;
  /// That are under way at once, with the caller's own. A libvirtd takes 5 of one client.
  static constexpr unsigned kCalls = 4;

  explicit Peeker(std::shared_ptr<Domain> domain) : domain_{std::move(domain)}, helpers_{kCalls - 1} {}

  /// As Driver::read(), but nothing outside of `map` is ever asked for: there may be a device that minds.
  void read(std::span<ReadPiece> pieces, const MemoryMap& map);

  /// By some reads of memory that is there.
  [[nodiscard]] Result<ReadCost> measure(const MemoryMap& map);

private:
  const std::shared_ptr<Domain> domain_;
  Worker helpers_;
};

} // namespace vmemfs::libvirt
