// SPDX-License-Identifier: MIT
// Prefetch into the page cache by separate calls of the driver, for drivers with calls that take long.
#pragma once

#include "core/gpa.h"
#include "vm/cache/cache_policy.h"
#include "vm/memory/memory_view.h"
#include "vm/prefetch/read_ahead.h"
#include "vm/state/attachment.h"
#include "vm/vm_jobs.h"

#include <atomic>
#include <cstdint>

namespace vmemfs {

/// One per VM. Thread-safe. The calls are in progress while the reader waits for its own.
class BackgroundPrefetch {
public:
  /// All arguments outlive this object, and are part of the owner of the jobs.
  BackgroundPrefetch(const Attachment& attachment, MemoryView& view, CachePolicy& cache, const VmJobs& jobs)
      : attachment_{attachment}, view_{view}, cache_{cache}, jobs_{jobs} {}

  /// Starts calls for what a sequential reader is likely to request after its read, which ends at `end`.
  /// They are of use only while `epoch` lasts.
  void start(ReadAhead& read_ahead, std::uint64_t end, std::size_t max_bytes, std::uint64_t epoch);

private:
  void fetch(GpaRange range, std::uint64_t epoch);

  const Attachment& attachment_;
  MemoryView& view_;
  CachePolicy& cache_;
  const VmJobs& jobs_;
  std::atomic<unsigned> pending_{0}; ///< calls that are queued or in progress
};

} // namespace vmemfs
