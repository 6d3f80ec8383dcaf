// SPDX-License-Identifier: MIT
// Prefetch for a sequential reader: the next range is fetched while the reader consumes the current one.
//
// For memory that is stable and costs about as much to fetch as to reply with: two CPUs then share the
// work. If pages cost much more, the page cache prefetches instead; if memory may change, nothing may be
// fetched before it is requested.
#pragma once

#include "util/mutex.h"
#include "vm/cache/cache_policy.h"
#include "vm/memory/hole_policy.h"
#include "vm/memory/memory_view.h"
#include "vm/memory/read_scratch.h"
#include "vm/prefetch/read_ahead.h"
#include "vm/vm_jobs.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace vmemfs {

/// One per VM, used by the first of several sequential readers. Thread-safe. Holds at most one read's
/// bytes, and none after drop().
class SequentialPrefetch {
public:
  using Clock = std::chrono::steady_clock;

  static constexpr std::size_t kMinSize = std::size_t{256} << 10U; ///< smaller reads gain nothing
  /// Max age of fetched bytes: a debugger's write into a paused guest causes no event.
  static constexpr std::chrono::milliseconds kMaxAge{50};

  /// An expected read, and the epoch in which it must be fetched and served.
  struct Request {
    const ReadAhead* reader;
    std::uint64_t offset;
    std::size_t size;
    HolePolicy policy;
    std::uint64_t epoch;

    bool operator==(const Request&) const = default;
  };

  /// All outlive this object, which is part of the owner of the jobs. The pages it fetches are counted with
  /// those of the cache.
  SequentialPrefetch(MemoryView& view, CachePolicy& cache, const VmJobs& jobs)
      : view_{view}, cache_{cache}, jobs_{jobs} {}

  /// True: scratch has the whole request. Waits if it is being fetched.
  [[nodiscard]] bool take(const Request& request, ReadScratch& scratch);
  /// Starts fetching `request`, unless another one is in progress.
  void begin(const Request& request);
  /// Releases the memory.
  void drop();

private:
  enum class State : unsigned char { idle, queued, fetching, ready };

  void run() EXCLUDES(mutex_);
  [[nodiscard]] bool fetch(const Request& request, ReadScratch& scratch) EXCLUDES(mutex_);
  [[nodiscard]] bool is_stale() const REQUIRES(mutex_) { return Clock::now() - since_ > kMaxAge; }

  MemoryView& view_;
  CachePolicy& cache_;
  const VmJobs& jobs_;
  Mutex mutex_; ///< not held while memory is fetched; leaf
  Condition changed_;
  State state_ GUARDED_BY(mutex_) = State::idle;
  bool unwanted_ GUARDED_BY(mutex_) = false; ///< the bytes being fetched are no longer needed
  Request request_ GUARDED_BY(mutex_){};
  Clock::time_point since_ GUARDED_BY(mutex_); ///< when fetching began or was requested
  /// While memory is fetched, the scratch belongs to run().
  std::unique_ptr<ReadScratch> scratch_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
