// SPDX-License-Identifier: MIT
// Search for the guest physical addresses that hold memory, by asking for memory slots (QUERY_PHYSICAL).
//
// A question gives the slot that holds an address, or that there is none, but never the next slot. Asked are
// the pages that find_memory() tries first, and those before and after each slot that was found; a slot
// answers for all pages in it, so that a VM takes a few round trips, and its borders are exact. A slot that
// holds none of these pages is not seen.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "drivers/kvmi/memory/memory_probe.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace vmemfs::kvmi {

/// Asks for slots: sets `slots[i]` to the one that holds `pages[i]`, or to an empty range. What it gives is
/// not trusted.
using AskSlots = std::function<Result<void>(std::span<const Gpa> pages, std::span<GpaRange> slots)>;

/// The ranges below `end` that hold memory, sorted and apart from each other. Both ends and the middle of
/// each slot are tried: a slot of which none can be read is left out. source_failed: the answers contradict
/// each other or what can be read, or there are more slots than kMaxRanges.
[[nodiscard]] Result<std::vector<GpaRange>> find_slots(std::uint64_t end, const AskSlots& ask,
                                                       const TryPages& try_pages);

} // namespace vmemfs::kvmi
