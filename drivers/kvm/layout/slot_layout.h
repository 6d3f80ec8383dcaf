// SPDX-License-Identifier: MIT
// The guest's memory layout, from KVM's memory slots and the mappings of the process that they refer to.
//
// Pure functions, thread-safe. Both are read while the VM runs, so neither is trusted.
#pragma once

#include "core/error.h"
#include "drivers/kvm/walk/vm_listing.h"
#include "host/proc_maps.h"
#include "vmm/guest_layout.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vmemfs::kvm {

/// A part of a slot that is not in the layout.
struct LeftOut {
  GpaRange range;
  std::string why; ///< a clause for the user

  friend bool operator==(const LeftOut&, const LeftOut&) = default;
};

struct SlotLayout {
  GuestLayout layout; ///< its stamp is the generation
  std::vector<LeftOut> left_out;
};

/// Slots that overlap are an error (source_failed): KVM has none, so the walk read something else. So is a
/// slot outside of what can be an address, and more than kMaxRanges ranges.
inline constexpr std::size_t kMaxRanges = 16384;
[[nodiscard]] Result<SlotLayout> layout_from_slots(std::span<const Slot> slots, const std::vector<Vma>& maps,
                                                   std::uint64_t generation);

} // namespace vmemfs::kvm
