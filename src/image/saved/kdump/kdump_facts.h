// SPDX-License-Identifier: MIT
// Facts of a kdump file's headers, which differ in layout between 64-bit and 32-bit machines.
//
// Format: makedumpfile's IMPLEMENTATION and diskdump_mod.h. Of 32-bit machines there are two layouts: packed,
// as QEMU and makedumpfile on i386 write it, and with 64-bit numbers aligned, as makedumpfile on ARM does.
#pragma once

#include "core/error.h"
#include "image/saved/kdump/kdump_file.h"

#include <array>
#include <cstdint>
#include <string>

namespace vmemfs {

/// Numbers as the file has them, checked for what all readers rely on: block_size is that of a page, bitmaps
/// fit to `frames`.
struct KdumpFacts {
  bool of_32_bit = false;
  std::int32_t version = 0;
  std::uint64_t block_size = 0;
  std::uint64_t frames = 0;       ///< the first one that is not there
  std::uint64_t bitmaps = 0;      ///< offset of the first
  std::uint64_t bitmap_bytes = 0; ///< of both
  std::uint64_t notes_offset = 0;
  std::uint64_t notes_size = 0; ///< 0: none
  bool is_part = false;         ///< of a split file: it has the pages from `begin` to `end`
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::array<std::array<char, 65>, 6> uname{};

  [[nodiscard]] std::uint64_t descriptors() const { return bitmaps + bitmap_bytes; } ///< offset of the first
  /// Old files have one bitmap instead of two halves: of existing pages and of stored ones.
  [[nodiscard]] std::uint64_t stored_bitmap() const {
    return bitmaps + (frames > bitmap_bytes / 2 * 8 ? 0 : bitmap_bytes / 2);
  }
  [[nodiscard]] std::string machine() const; ///< as uname names it
};

/// 4 TiB of pages of 4 KiB; bounds each bitmap to 128 MiB.
inline constexpr std::uint64_t kMaxKdumpFrames = std::uint64_t{1} << 30;

[[nodiscard]] Result<KdumpFacts> read_kdump_facts(const SavedFile& file, const KdumpFile& bytes);

} // namespace vmemfs
