// SPDX-License-Identifier: MIT
// Ranges of virtual addresses that the page tables of an x86 vCPU map.
#pragma once

#include "arch/mapped_ranges.h"
#include "arch/x86_64/paging_mode.h"

#include <vector>

namespace vmemfs::x86_64 {

[[nodiscard]] std::vector<MappedRange> list_mapped(const Paging& paging, const ReadTable& read,
                                                   const ListLimits& limits = {});

} // namespace vmemfs::x86_64
