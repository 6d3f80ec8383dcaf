// SPDX-License-Identifier: MIT
// Plan of one read of guest memory: where each byte of the answer comes from, and how it gets there.
//
// A range is cut at the borders of regions. Each stretch is padded with zeros (a hole), borrowed from the
// driver, found in the page cache, claimed there, awaited from another reader, or staged in the scratch. What
// is claimed or staged becomes one batch for the driver. Every claimed page is settled before the read waits
// for pages of other readers, so that readers never wait for each other in a circle.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"
#include "driver/driver.h"
#include "vm/cache/bad_pages.h"
#include "vm/cache/cache_counters.h"
#include "vm/memory/cache_use.h"
#include "vm/memory/hole_policy.h"
#include "vm/memory/read_scratch.h"

#include <cstddef>
#include <optional>
#include <span>

namespace vmemfs {

/// For one thread and one call of read() or prefetch(). It allocates nothing: all buffers are the scratch's.
class ReadPlan {
public:
  /// All arguments outlive the plan. The scratch's last answer ends.
  ReadPlan(Driver& driver, BadPages& bad_pages, const CacheUse& use, ReadScratch& scratch)
      : driver_{driver}, direct_{driver.direct_memory()}, bad_pages_{bad_pages}, use_{use}, scratch_{scratch},
        pending_{scratch.pending()} {
    scratch.clear(use.cache);
  }

  struct Outcome {
    std::size_t bytes = 0;              ///< of the answer, which is in the scratch
    std::optional<ErrorKind> failure{}; ///< what ended the read early
    bool outside = false;               ///< a part of it is not in the memory map
    bool asked = false;                 ///< the driver was called, so it knows whether the VM is alive
  };

  /// Reads the ranges, one behind the other. The answer ends at the end of the space, at the scratch's max
  /// size, or at a failure. The outcome is part of the plan.
  [[nodiscard]] const Outcome& read(const MemoryMap& map, std::span<const GpaRange> ranges,
                                    HolePolicy policy);

  /// Reads the pages of `range`, up to the end of its region, that are neither cached nor being read, into
  /// the cache. Those that cannot be read are not cached.
  void prefetch(const MemoryMap& map, GpaRange range);

  [[nodiscard]] const CacheCounts& counts() const { return counts_; }

private:
  // The steps of every read are inline, so that they become one function of read_plan.cpp, the only caller.

  // Planning, in the order of the answer.
  inline void plan(const MemoryMap& map, std::span<const GpaRange> ranges);
  [[nodiscard]] inline bool plan_range(const MemoryMap& map, GpaRange range);
  inline void plan_stretch(const Region& region, GpaRange range);
  void plan_page(Gfn gfn, GpaRange part);
  inline void plan_prefetch(const MemoryMap& map, const GpaRange& last);
  void pad(std::size_t size);
  [[nodiscard]] inline bool borrow(GpaRange range);
  void hit(PageCache::Frame* page, GpaRange part);
  void claim(PageCache::Frame* frame, Gfn gfn, GpaRange part);
  void claim_unrequested(const MemoryMap& map, GpaRange range);
  void await(GpaRange part);
  inline void stage(GpaRange range);

  // Carrying out.
  void fetch();
  void collect_awaited();
  inline void settle(std::size_t piece, bool whole);
  void note_failure(const ReadPiece& piece);
  bool read_past_bad_pages(ReadPiece& piece);

  Driver& driver_;
  DirectMemory* const direct_; ///< null if nothing can be borrowed
  BadPages& bad_pages_;
  const CacheUse& use_;
  ReadScratch& scratch_;
  PendingPieces& pending_; ///< the scratch's
  HolePolicy policy_ = HolePolicy::honest;
  std::size_t asked_ = 0;               ///< pending pieces of the answer; those after them are prefetched
  std::size_t cut_ = ReadScratch::kAll; ///< where a failure ends the answer
  Outcome outcome_;
  CacheCounts counts_;
};

} // namespace vmemfs
