// SPDX-License-Identifier: MIT
// The records of a walk over KVM's tables, which race with the VMs, and the layout that is made of them.
#include "drivers/kvm/layout/slot_layout.h"
#include "drivers/kvm/walk/vm_listing.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <span>
#include <vector>

namespace {

constexpr vmemfs::Hva kRam = 0x7f00'0000'0000;

/// A process with two mappings next to each other, a gap, and a third one.
const std::vector<vmemfs::Vma>& maps() {
  static const std::vector<vmemfs::Vma> kMaps{
      {.range = {kRam, kRam + 0x10'0000}, .readable = true, .writable = true, .path = {}},
      {.range = {kRam + 0x10'0000, kRam + 0x20'0000}, .readable = true, .inode = 3, .path = "/var/memory"},
      {.range = {kRam + 0x30'0000, kRam + 0x40'0000}, .writable = true, .path = {}}};
  return kMaps;
}

} // namespace

FUZZ_TARGET(text) {
  using vmemfs::fuzz::expect;
  const auto listing = vmemfs::kvm::parse_listing(std::as_bytes(std::span{text}));
  if (!listing) {
    return;
  }
  expect(std::ranges::is_sorted(listing->vcpus), "vCPUs are sorted");
  expect(listing->slots.size() * 16 <= text.size(), "slots are no more than their records");
  const auto made = vmemfs::kvm::layout_from_slots(listing->slots, maps(), 1);
  if (!made) {
    return;
  }
  expect(vmemfs::to_memory_map(made->layout).has_value(), "a layout is a memory map");
  for (const auto& range : made->layout.ranges) {
    const auto* const vma = vmemfs::find_vma(maps(), range.hva);
    expect(vma != nullptr && vma->readable && range.hva + range.range.size() <= vma->range.end,
           "a range lies in one mapping that can be read");
  }
}
