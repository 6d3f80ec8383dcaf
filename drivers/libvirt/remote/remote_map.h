// SPDX-License-Identifier: MIT
// The memory map of a domain with an unreachable process.
#pragma once

#include "core/memory_map.h"
#include "drivers/libvirt/domain/domain.h"
#include "util/mutex.h"
#include "util/published.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace vmemfs::libvirt {

/// Thread-safe.
class RemoteMap {
public:
  /// `passthrough`: QEMU itself is asked, through libvirt; otherwise the map is computed from the domain's
  /// description. `may_allocate`: reading may allocate memory of the guest; if it is false, a domain for
  /// which reading would is unsupported.
  RemoteMap(std::shared_ptr<Domain> domain, bool passthrough, bool may_allocate)
      : domain_{std::move(domain)}, passthrough_{passthrough}, may_allocate_{may_allocate} {}

  /// The current map; null until refresh() succeeded once.
  [[nodiscard]] std::shared_ptr<const MemoryMap> load() const { return map_.load(); }
  /// As found by the last refresh().
  [[nodiscard]] bool reading_allocates() const { return reading_allocates_; }
  [[nodiscard]] std::string source() const; ///< as text, for `info`

  /// Reads it again, for at most LimitedCalls::kOperation. True if the map has changed.
  [[nodiscard]] Result<bool> refresh();

private:
  [[nodiscard]] Result<MemoryMap> read();

  const std::shared_ptr<Domain> domain_;
  const bool passthrough_;
  const bool may_allocate_;
  std::atomic<std::uint64_t> refreshes_{0};     ///< that have begun
  Mutex mutex_;                                 ///< not held while the domain is asked
  std::uint64_t newest_ GUARDED_BY(mutex_) = 0; ///< refresh of map_
  std::atomic<bool> reading_allocates_{false};
  Published<MemoryMap> map_;
};

} // namespace vmemfs::libvirt
