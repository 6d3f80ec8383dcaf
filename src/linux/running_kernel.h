// SPDX-License-Identifier: MIT
// A Linux kernel in a guest with all that is known of it, for what reads its structures.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"
#include "linux/kernel_memory.h"
#include "linux/symbols/kernel_symbols.h"
#include "linux/vmcoreinfo.h"

#include <cstdint>
#include <optional>

namespace vmemfs {

/// What it refers to outlives it.
struct RunningKernel {
  KernelMemory& memory;
  const KernelSymbols& symbols;
  const btf::Types& types;
  const Vmcoreinfo& vmcoreinfo;
  std::optional<std::uint64_t> found_idle_task{}; ///< if the symbols do not name it

  /// Address of init_task, where the list of processes begins. no_data: it is unknown.
  [[nodiscard]] Result<std::uint64_t> idle_task() const {
    const auto named = symbols.find("init_task");
    if (named || found_idle_task) {
      return named ? *named : *found_idle_task;
    }
    return fail(ErrorKind::no_data, "linux",
                "the kernel's symbols do not have init_task; was it built without CONFIG_KALLSYMS_ALL?");
  }
};

} // namespace vmemfs
