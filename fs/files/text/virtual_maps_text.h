// SPDX-License-Identifier: MIT
// The text of `vcpus/N/virt_maps`.
#pragma once

#include "arch/mapped_ranges.h"

#include <span>
#include <string>

namespace vmemfs {

/// A heading that begins with #, then one line for each range: START-END, END exclusive; size; r, w, x and u
/// (user mode) or -; physical address of START, or - if the physical addresses have gaps. Ranges that were
/// not searched are lines that begin with #.
[[nodiscard]] std::string virtual_maps_text(std::span<const MappedRange> ranges);

} // namespace vmemfs
