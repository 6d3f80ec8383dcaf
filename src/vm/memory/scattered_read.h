// SPDX-License-Identifier: MIT
// Plan of a read of scattered pieces of guest memory, each with a result of its own.
//
// Pieces are cut at the borders of regions and, if a page cache is in use, at pages. What the cache has is
// copied from it; the rest becomes one batch for the source, which reads it into the caller's buffers. A
// reader never waits for pages that another one is reading: both read them.
#pragma once

#include "core/gpa.h"
#include "core/memory_map.h"
#include "driver/driver.h"
#include "vm/cache/cache_counters.h"
#include "vm/memory/cache_use.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmemfs {

/// For one thread and one read.
class ScatteredRead {
public:
  /// Plans the read. All arguments outlive the plan; at most 2^32 pieces.
  ScatteredRead(const MemoryMap& map, std::span<ReadPiece> pieces, const CacheUse& use = {});

  /// What the source is to read; may be empty.
  [[nodiscard]] std::span<ReadPiece> parts() { return parts_; }

  /// Gives each piece its result, once the parts have theirs: `done` bytes from its begin on; past_end if the
  /// memory ends before the piece does. Keeps whole pages in the cache.
  void finish();

  /// Of the results: a piece failed because the VM has ended.
  [[nodiscard]] bool vm_gone() const { return gone_; }
  /// A piece, or a part of one, is not in the map, or the source could not read it: the map may be stale.
  [[nodiscard]] bool missed() const { return missed_; }
  [[nodiscard]] const CacheCounts& counts() const { return counts_; }

private:
  void plan(std::size_t index);
  void plan_stretch(std::size_t index, const Region& region, GpaRange range, std::span<std::byte> into);
  [[nodiscard]] bool copy_cached(GpaRange part, std::span<std::byte> into);
  void keep_page(const ReadPiece& part);

  const MemoryMap& map_;
  const std::span<ReadPiece> pieces_;
  const CacheUse& use_;
  std::vector<ReadPiece> parts_;
  std::vector<std::uint32_t> piece_of_; ///< of each part
  CacheCounts counts_;
  bool gone_ = false;
  bool missed_ = false;
};

} // namespace vmemfs
