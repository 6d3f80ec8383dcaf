// SPDX-License-Identifier: MIT
// Which frame numbers of a domain have memory, and what kind: the memory map, and how an address in it
// becomes a frame that can be mapped. Pure: it asks by a function that its caller gives.
#pragma once

#include "core/memory_map.h"
#include "drivers/xen/domain_info.h"
#include "drivers/xen/foreign_memory.h"

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

/// Sorted, and none touches the next.
using GfnRanges = std::vector<GfnRange>;

[[nodiscard]] std::uint64_t count_of(const GfnRanges& ranges);

/// Appends a frame, which is above all that are in it.
void append(GfnRanges& ranges, std::uint64_t gfn);

/// A domain's memory as it was at one moment. Immutable.
struct Layout {
  MemoryMap map;
  std::vector<Frame>
      machine_frames;      ///< PV: of each frame of the guest, kNoFrame where it has none; else empty
  std::uint64_t pages = 0; ///< that the domain had, by the hypervisor's count
  std::string source;      ///< how it was found, in words

  static constexpr Frame kNoFrame = ~Frame{0};
  /// What to map for the page at `gfn`, which lies in the map.
  [[nodiscard]] Frame frame_of(Gfn gfn) const {
    return machine_frames.empty() ? gfn.value() : machine_frames[gfn.value()];
  }
};

/// A PV domain's: all of it is main memory.
[[nodiscard]] Result<Layout> pv_layout(std::vector<Frame> machine_frames);

/// A PVH or HVM domain's, from where it has pages. `special` are pages of which the hypervisor says that they
/// are its own (rings of console and xenstore, ...): the few pages around them are, too.
[[nodiscard]] Result<Layout> hvm_layout(const GfnRanges& present, DomainKind kind,
                                        const std::vector<std::uint64_t>& special);

} // namespace vmemfs::xen
