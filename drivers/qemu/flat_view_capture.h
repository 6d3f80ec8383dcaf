// SPDX-License-Identifier: MIT
// QEMU's FlatView as it lies in its memory, and a stamp that tells whether it has changed.
#pragma once

#include "core/error.h"
#include "drivers/qemu/flat_view_layout.h"
#include "host/hva.h"
#include "host/process.h"

#include <array>
#include <cstddef>
#include <cstdint>
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
  std::array<std::uint8_t, 13> ignored;
};
static_assert(sizeof(RawRange) == 64);

/// All that the view is made of, except what the regions and blocks say, which lasts as long as they.
struct Capture {
  std::vector<RawRange> ranges;
  std::array<std::byte, kMaxBlockList> block_list{};
};

/// Reads the view in three steps, each where the one before points to. It may be freed meanwhile: try
/// again on any error.
[[nodiscard]] Result<Capture> capture_view(const Process& process, const FlatViewLayout& layout);

/// Of what matters: not of addresses of the view itself, as QEMU often makes an equal view anew.
/// That a region's address is used again for other memory shows in the block list, which counts.
[[nodiscard]] std::uint64_t stamp_of(const Capture& captured, std::size_t block_list_size);

/// source_failed: something that was read can't be what it is taken for.
[[nodiscard]] tl::unexpected<Error> implausible(std::string_view what);

} // namespace vmemfs::qemu
