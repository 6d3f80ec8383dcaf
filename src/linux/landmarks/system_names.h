// SPDX-License-Identifier: MIT
// The names that a kernel reports of itself (uname(2)).
#pragma once

#include "linux/kernel_memory.h"
#include "linux/vmcoreinfo.h"

#include <optional>
#include <string>

namespace vmemfs {

struct SystemNames {
  std::string release; ///< such as "6.1.0-57-cloud-arm64"
  std::string version; ///< such as "#1 SMP Debian 6.1.192-3 (2026-11-26)"
};

/// Those of init_uts_ns, by its address in VMCOREINFO. nullopt: it cannot be read, or has none.
[[nodiscard]] std::optional<SystemNames> system_names(KernelMemory& memory, const Vmcoreinfo& info);

} // namespace vmemfs
