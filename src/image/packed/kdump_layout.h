// SPDX-License-Identifier: MIT
// Layout of a kdump-compressed file of header version 6: headers, notes, two bitmaps, a descriptor for each
// page, and the packed pages, which may be in any order. All but the pages and their descriptors follows from
// the ranges.
//
// Format: makedumpfile's IMPLEMENTATION and diskdump_mod.h. As makedumpfile does it, VMCOREINFO is found
// within the notes, and both bitmaps are the same when no page is left out.
#pragma once

#include "core/gpa.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmemfs {

struct KdumpContent {
  std::vector<GpaRange> ranges{}; ///< not empty, of whole pages, sorted, without overlaps
  std::uint16_t machine = 0;      ///< e_machine of its ELF core
  std::vector<std::byte> notes{}; ///< of its ELF core: registers, and VMCOREINFO if it is known
  std::chrono::system_clock::time_point time{};
};

/// Immutable.
class KdumpLayout {
public:
  explicit KdumpLayout(KdumpContent content);

  /// From the begin of the file up to the bitmaps.
  [[nodiscard]] std::vector<std::byte> headers() const;

  [[nodiscard]] std::uint64_t pages() const { return pages_; } ///< that are stored
  [[nodiscard]] std::uint64_t bitmap_bytes() const;            ///< of one; the other one follows
  /// A part of a bitmap, from its byte `begin` on.
  void fill_bitmap(std::uint64_t begin, std::span<std::byte> part) const;

  // Offsets in the file.
  [[nodiscard]] std::uint64_t bitmaps() const { return (1 + sub_header_blocks_) * kPageSize; }
  [[nodiscard]] std::uint64_t descriptors() const { return bitmaps() + 2 * bitmap_bytes(); }
  [[nodiscard]] std::uint64_t data() const; ///< of what is behind the descriptors

private:
  [[nodiscard]] std::uint64_t max_frame() const; ///< the first one behind the memory

  KdumpContent content_;
  std::uint64_t sub_header_blocks_;
  std::uint64_t pages_ = 0;
};

} // namespace vmemfs
