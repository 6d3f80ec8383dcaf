// SPDX-License-Identifier: MIT
// Registers in the header of a Windows crash dump: the CONTEXT of one CPU, and the root of the page tables.
//
// Format of the CONTEXT: winnt.h of the Windows SDK, for x86-64.
#pragma once

#include "core/register_set.h"
#include "image/saved/windows/crash_header.h"

#include <string_view>
#include <vector>

namespace vmemfs {

struct CrashRegisters {
  std::vector<RegisterSet> sets; ///< at most one
  std::string_view from{};       ///< of what in the file; empty: there are none
};

/// What the header does not have stays absent: CR0, CR4 and EFER among them.
[[nodiscard]] CrashRegisters crash_registers(const CrashHeader& header);

} // namespace vmemfs
