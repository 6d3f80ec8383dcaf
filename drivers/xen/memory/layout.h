// SPDX-License-Identifier: MIT
// The layout of a domain's memory: the memory map, and the frame to map for an address in it. Pure: it takes
// a function to query Xen.
#pragma once

#include "core/memory_map.h"
#include "drivers/xen/memory/foreign_memory.h"
#include "drivers/xen/state/domain_info.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::xen {

/// Half-open range of guest frame numbers.
struct GfnRange {
  std::uint64_t begin;
  std::uint64_t end;

  [[nodiscard]] std::uint64_t size() const { return end - begin; }
  friend bool operator==(const GfnRange&, const GfnRange&) = default;
};

/// Sorted, with gaps between the ranges.
using GfnRanges = std::vector<GfnRange>;

[[nodiscard]] std::uint64_t count_of(const GfnRanges& ranges);

/// Appends a frame, which must be above all others.
void append(GfnRanges& ranges, std::uint64_t gfn);

/// A domain's memory at one moment. Immutable.
struct Layout {
  MemoryMap map;
  std::vector<Frame> machine_frames; ///< PV: of each guest frame, kNoFrame if it has none; otherwise empty
  std::uint64_t pages = 0; ///< the domain's number of pages at that moment, as the hypervisor counts
  std::string source;      ///< how it was found, as text

  static constexpr Frame kNoFrame = ~Frame{0};
  /// The frame to map for the page at `gfn`, which is in the map.
  [[nodiscard]] Frame frame_of(Gfn gfn) const {
    return machine_frames.empty() ? gfn.value() : machine_frames[gfn.value()];
  }
};

/// For a PV domain: all of it is main memory.
[[nodiscard]] Result<Layout> pv_layout(std::vector<Frame> machine_frames);

/// For a PVH or HVM domain, from the ranges that have pages. `special` are pages that the hypervisor reports
/// as its own (rings of console and xenstore, ...); the few pages around them are special, too.
[[nodiscard]] Result<Layout> hvm_layout(const GfnRanges& present, DomainKind kind,
                                        const std::vector<std::uint64_t>& special);

} // namespace vmemfs::xen
