// SPDX-License-Identifier: MIT
// Search for the guest physical addresses that hold memory, by trying pages.
//
// Without QUERY_PHYSICAL (slot_search.h) KVMI has only the end of the highest one. Tried are all pages of the
// first MiB, and the first and last page of each step of 2 MiB (more in a VM of more than 64 GiB); borders in
// between are found by halving. So a hole, or memory within a hole, that has no page at the end of a step is
// not seen.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace vmemfs::kvmi {

/// Tries pages: sets `present[i]` to 1 if there is memory at `pages[i]`, else 0.
using TryPages = std::function<Result<void>(std::span<const Gpa> pages, std::span<std::uint8_t> present)>;

/// The pages below `end` that are tried first, sorted: at most some 70 000.
[[nodiscard]] std::vector<Gpa> first_tried(std::uint64_t end);

/// The ranges below `end` that hold memory, sorted and apart from each other. source_failed: there are more
/// than kMaxRanges, which no VM has.
[[nodiscard]] Result<std::vector<GpaRange>> find_memory(std::uint64_t end, const TryPages& try_pages);

inline constexpr std::size_t kMaxRanges = 1024;

/// All of it is main memory, except for the firmware of a PC: what ends at 4 GiB and begins at most 16 MiB
/// below.
[[nodiscard]] Result<MemoryMap> map_of(std::span<const GpaRange> ranges);

} // namespace vmemfs::kvmi
