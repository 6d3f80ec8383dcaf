// SPDX-License-Identifier: MIT
// Plug maps of virtio-mem devices, from QEMU's memory: its monitor says only how much is plugged, not where.
//
// Struct VirtIOMEM is private and its fields move between versions. The fields are found by what they must
// be: the device's address in guest memory is known, and the bitmap of the plugged blocks has as many bits as
// there are blocks, of which as many are set as the device's size says. Checked with QEMU 7.2.
//
// Nothing that is read is trusted: a process can fake any number of devices. All work has a budget.
#pragma once

#include "core/gpa.h"
#include "host/hva.h"
#include "host/process_space.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace vmemfs::qemu {

/// Devices of a VM; further ones count as plugged.
inline constexpr std::size_t kMaxVirtioMem = 64;
/// Bytes of bitmaps of one look at all devices, what is tried in vain included: 8 million blocks.
inline constexpr std::size_t kMaxPlugMapBytes = std::size_t{1} << 20U;
/// Holes of all devices of a VM. A device that has more counts as plugged.
inline constexpr std::size_t kMaxUnplugged = std::size_t{1} << 16U;

/// A virtio-mem device in QEMU's memory and all its memory in the guest.
struct VirtioMemRegion {
  Hva device = 0;
  GpaRange range;
};

/// Where QEMU keeps which blocks of a device are plugged.
struct PlugMap {
  GpaRange range; ///< the device's memory
  Hva bitmap = 0; ///< a bit for each block, lowest first, in words of 8 bytes; set: plugged
  std::uint64_t blocks = 0;
  std::uint64_t block_bytes = 0;

  [[nodiscard]] std::size_t words() const { return static_cast<std::size_t>((blocks + 63) / 64); }
};

/// Whether the object at `hva` is a virtio-mem device.
[[nodiscard]] bool is_virtio_mem(const ProcessSpace& space, Hva hva);

/// nullopt: it was not found, is changing at this moment, or `budget_bytes`, which each try takes from, is
/// used up.
[[nodiscard]] std::optional<PlugMap> find_plug_map(const ProcessSpace& space, const VirtioMemRegion& region,
                                                   std::size_t& budget_bytes);

/// Adds what is not plugged to `holes`, in ascending order. `plugged` has map.words() words. False if they
/// then were more than kMaxUnplugged: nothing is added.
[[nodiscard]] bool add_unplugged(const PlugMap& map, std::span<const std::uint64_t> plugged,
                                 std::vector<GpaRange>& holes);

} // namespace vmemfs::qemu
