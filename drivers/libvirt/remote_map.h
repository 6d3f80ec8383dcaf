// The memory map of a domain whose process is out of reach.
#pragma once

#include "core/memory_map.h"
#include "drivers/libvirt/domain.h"
#include "util/published.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace vmemfs::libvirt {

/// Thread-safe.
class RemoteMap {
public:
  /// `passthrough`: QEMU itself is asked, through libvirt; else it follows from the domain's description.
  static Result<std::shared_ptr<RemoteMap>> open(std::shared_ptr<Domain> domain, bool passthrough);
  RemoteMap(std::shared_ptr<Domain> domain, bool passthrough) // for open() only
      : domain_{std::move(domain)}, passthrough_{passthrough} {}

  [[nodiscard]] std::shared_ptr<const MemoryMap> load() const { return map_.load(); }
  [[nodiscard]] std::uint32_t vcpus() const { return vcpus_; }
  [[nodiscard]] std::string source() const; ///< in words, for `info`

  /// Asks anew. True where the map has changed.
  [[nodiscard]] Result<bool> refresh();

private:
  [[nodiscard]] Result<MemoryMap> read();

  const std::shared_ptr<Domain> domain_;
  const bool passthrough_;
  std::mutex mutex_; ///< one refresh at a time
  std::atomic<std::uint32_t> vcpus_{0};
  Published<MemoryMap> map_;
};

} // namespace vmemfs::libvirt
