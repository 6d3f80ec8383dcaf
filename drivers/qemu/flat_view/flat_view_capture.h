// SPDX-License-Identifier: MIT
// Raw copy of QEMU's FlatView from its memory, and a stamp that detects changes.
#pragma once

#include "core/error.h"
#include "drivers/qemu/flat_view/flat_view_layout.h"
#include "host/hva.h"
#include "host/process_space.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vmemfs::qemu {

/// struct FlatRange; the 128-bit numbers as low and high halves
struct RawRange {
  Hva region;
  std::uint64_t offset; ///< in the region
  std::uint64_t start;
  std::uint64_t start_high;
  std::uint64_t size;
  std::uint64_t size_high;
  std::uint8_t dirty_log_mask;
  std::uint8_t romd_mode;
  std::uint8_t readonly;
  std::uint8_t nonvolatile;
  std::array<std::uint8_t, 12> ignored;
};
static_assert(sizeof(RawRange) == 64);

/// The view's own data. The fields of its regions and blocks are not part of it: they stay valid as long as
/// the region or block.
struct Capture {
  std::vector<RawRange> ranges;
  std::array<std::byte, kMaxBlockList> block_list{};
  std::vector<std::uint64_t> plugged; ///< the bitmaps of virtio-mem that were asked for
};

/// Reads the view in three steps, each at the address that the previous one returned, and then `bitmaps`,
/// each of whole words of 8 bytes; those that QEMU has freed are left out. QEMU may free the view meanwhile:
/// the caller tries again on any error.
[[nodiscard]] Result<Capture> capture_view(const ProcessSpace& space, const FlatViewLayout& layout,
                                           std::span<const HvaRange> bitmaps);

/// Hash of the view's contents. The addresses of the view itself are left out, because QEMU often rebuilds an
/// equal view. If a region's address is reused for other memory, the change counter in the block list shows
/// it.
[[nodiscard]] std::uint64_t stamp_of(const Capture& captured, std::size_t block_list_size);

/// A source_failed error: data that was read is inconsistent.
[[nodiscard]] tl::unexpected<Error> implausible(std::string_view what);

} // namespace vmemfs::qemu
