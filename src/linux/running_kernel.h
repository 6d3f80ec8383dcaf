// SPDX-License-Identifier: MIT
// A Linux kernel in a guest with all that is known of it, for what reads its structures.
#pragma once

#include "linux/btf/types.h"
#include "linux/kernel_memory.h"
#include "linux/symbols/kernel_symbols.h"
#include "linux/vmcoreinfo.h"

namespace vmemfs {

/// What it refers to outlives it.
struct RunningKernel {
  KernelMemory& memory;
  const KernelSymbols& symbols;
  const btf::Types& types;
  const Vmcoreinfo& vmcoreinfo;
};

} // namespace vmemfs
