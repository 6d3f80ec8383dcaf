// SPDX-License-Identifier: MIT
// Layout of guest physical memory and its host addresses in the process that runs the guest (its VMM).
#pragma once

#include "core/error.h"
#include "core/memory_map.h"
#include "host/hva.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

struct LayoutRange {
  GpaRange range;
  RegionKind kind = RegionKind::ram;
  bool writable = false;
  std::string name;         ///< of its block, as the VMM reports it; not trusted
  std::uint64_t offset = 0; ///< of range.begin in the block, in bytes
  Hva hva = 0;              ///< of range.begin in the process

  /// Identifies the block: blocks of the same name differ in their address.
  [[nodiscard]] Hva block_base() const { return hva - offset; }

  friend bool operator==(const LayoutRange&, const LayoutRange&) = default;
};

struct GuestLayout {
  std::vector<LayoutRange> ranges; ///< sorted, no overlap; adjacent ranges of one kind and block are merged
  std::optional<std::uint64_t> stamp; ///< version of the source, if it has one that is cheap to compare
};

/// Sorts the ranges and merges adjacent ones: a VMM may keep splits that are no longer needed.
void normalize(GuestLayout& layout);

/// True if both have the same memory at the same addresses.
[[nodiscard]] bool same_memory(const GuestLayout& a, const GuestLayout& b);

[[nodiscard]] Result<MemoryMap> to_memory_map(const GuestLayout& layout);

/// The range of the process's memory that each block occupies, hidden parts included, so that the same blocks
/// give the same ranges whatever the guest has mapped at the moment.
[[nodiscard]] std::vector<HvaRange> block_extents(const GuestLayout& layout);

} // namespace vmemfs
