// SPDX-License-Identifier: MIT
// Use of the kernel's page cache for a guest's memory: whether files are read through it and, if not, why.
//
// The one place that decides. Open files ask for epoch() as often as the kernel asks for their attributes,
// files that are being opened for use(), and the texts for state().
#pragma once

#include "vm/cache/kernel_cache_use.h"
#include "vm/memory/live_memory.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

namespace vmemfs {

/// One per VM. Thread-safe.
class KernelCache {
public:
  /// What both refer to outlives this object.
  KernelCache(const LiveMemory::Context& context, const LiveMemory& memory)
      : context_{context}, memory_{memory} {}

  /// See Guest::page_cache_epoch(): the part of the rules that holds for open files too.
  [[nodiscard]] std::optional<std::uint64_t> epoch();
  /// A change is logged.
  [[nodiscard]] KernelCacheUse use() { return decide().use; }

  struct State {
    KernelCacheUse use;
    std::string reason; ///< and the remedy, in one line; empty if it is in use
  };
  [[nodiscard]] State state();

private:
  struct Decision {
    KernelCacheUse use;
    std::uint64_t held = 0;      ///< of the guest's memory, by the host, in bytes
    std::uint64_t available = 0; ///< of the host's
  };
  [[nodiscard]] KernelCacheUse check(std::uint64_t& epoch);
  [[nodiscard]] KernelCacheUse examine(KernelCacheUse refused) const;
  [[nodiscard]] Decision decide();
  [[nodiscard]] Decision try_to_decide();
  [[nodiscard]] bool has_whole_pages() const;
  [[nodiscard]] std::string reason(const Decision& decision) const;

  const LiveMemory::Context context_;
  const LiveMemory& memory_;
  std::atomic<KernelCacheUse> logged_{KernelCacheUse::vm_gone}; ///< at first: none
};

} // namespace vmemfs
