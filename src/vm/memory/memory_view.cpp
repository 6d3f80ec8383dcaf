// SPDX-License-Identifier: MIT
#include "vm/memory/memory_view.h"

#include "vm/memory/divided_read.h"
#include "vm/memory/read_plan.h"
#include "vm/memory/scattered_read.h"

#include <utility>

namespace vmemfs {

tl::expected<std::size_t, ErrorKind> MemoryView::read(std::uint64_t offset, std::size_t size,
                                                      HolePolicy policy, ReadScratch& scratch,
                                                      const CacheUse& use) {
  const GpaRange range = range_of(offset, size);
  return read({&range, 1}, policy, scratch, use);
}

tl::expected<std::size_t, ErrorKind> MemoryView::read(std::span<const GpaRange> ranges, HolePolicy policy,
                                                      ReadScratch& scratch, const CacheUse& use) {
  auto map = driver_.memory_map();
  for (bool retried = false;; retried = true) {
    ReadPlan plan{driver_, bad_pages_, use, scratch};
    const ReadPlan::Outcome& result = plan.read(*map, ranges, policy);
    if (use.cache != nullptr) {
      use.counters->add(plan.counts());
    }
    // The map may be stale: it has no region there, or the memory was removed meanwhile.
    if ((result.outside || result.failure == ErrorKind::source_failed) && !retried) {
      driver_.poll_layout(true);
      if (auto now = driver_.memory_map(); now != map) {
        map = std::move(now);
        continue;
      }
    }
    // If no byte came from the driver (holes, cached pages, the end), nobody has checked whether the VM
    // is alive.
    if (result.failure == ErrorKind::vm_gone || (!result.asked && driver_.gone())) {
      return tl::unexpected{ErrorKind::vm_gone};
    }
    if (result.failure && result.bytes == 0) {
      return tl::unexpected{*result.failure};
    }
    return result.bytes;
  }
}

tl::expected<void, ErrorKind> MemoryView::read_each(std::span<ReadPiece> pieces, const CacheUse& use,
                                                    const VmJobs& jobs) {
  auto map = driver_.memory_map();
  for (bool retried = false;; retried = true) {
    ScatteredRead read{*map, pieces, use};
    if (!read.parts().empty()) {
      DividedRead::read(driver_, jobs, read.parts());
    }
    read.finish();
    if (use.cache != nullptr) {
      use.counters->add(read.counts());
    }
    if (read.missed() && !retried) {
      driver_.poll_layout(true);
      if (auto now = driver_.memory_map(); now != map) {
        map = std::move(now);
        continue;
      }
    }
    if (read.vm_gone() || (read.parts().empty() && driver_.gone())) {
      return tl::unexpected{ErrorKind::vm_gone};
    }
    return {};
  }
}

void MemoryView::prefetch(GpaRange range, ReadScratch& scratch, const CacheUse& use) {
  const auto map = driver_.memory_map();
  ReadPlan plan{driver_, bad_pages_, use, scratch};
  plan.prefetch(*map, range);
  use.counters->add(plan.counts());
}

} // namespace vmemfs
