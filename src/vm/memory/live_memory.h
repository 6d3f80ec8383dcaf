// SPDX-License-Identifier: MIT
// Memory of an attached VM: read through its driver, with the page cache and prefetching.
#pragma once

#include "driver/driver.h"
#include "util/timed_lock.h"
#include "vm/cache/bad_pages.h"
#include "vm/cache/cache_policy.h"
#include "vm/memory/address_space.h"
#include "vm/memory/memory_view.h"
#include "vm/prefetch/prefetcher.h"
#include "vm/state/attachment.h"
#include "vm/state/run_state_tracker.h"
#include "vm/vm_counters.h"
#include "vm/vm_events.h"
#include "vm/vm_jobs.h"
#include "vm/write_gate.h"

#include <atomic>
#include <chrono>
#include <cstdint>

namespace vmemfs {

/// Thread-safe. Reads wait for no operation on the VM.
class LiveMemory final : public AddressSpace {
public:
  /// References outlive this object, and are part of the owner of the jobs.
  struct Context {
    Driver& driver;
    const Attachment& attachment;
    Coherence& coherence;
    CachePolicy& cache;
    RunStateTracker& run_state;
    WriteGate& writes;
    VmEvents& events;
    const VmJobs& jobs;
  };
  LiveMemory(const Context& context, VmCounters& counters);

  using AddressSpace::read;
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::span<const GpaRange> ranges, HolePolicy policy,
                                                          ReadScratch& scratch,
                                                          ReadAhead* read_ahead) override;
  void copy(std::span<ReadPiece> pieces) override;
  [[nodiscard]] tl::expected<void, ErrorKind> read_each(std::span<ReadPiece> pieces) override;
  [[nodiscard]] BlockMemory* blocks() override {
    return context_.attachment.detached() ? nullptr : context_.driver.block_memory();
  }
  [[nodiscard]] Result<std::size_t> write(std::uint64_t offset, std::span<const std::byte> bytes) override;
  [[nodiscard]] std::shared_ptr<const MemoryMap> map() const override { return context_.driver.memory_map(); }
  [[nodiscard]] UseSearch find(const GpaRange& range, MemoryUse wanted) override;
  [[nodiscard]] std::uint64_t held_bytes() const override;
  void poll_layout() override;
  /// See RunStateTracker.
  void begin_view() override { context_.run_state.begin_view(); }
  void end_view() override {
    context_.run_state.end_view();
    prefetcher_.drop();
  }

  void note_kept_page() override;

  /// How long the kernel keeps a page of a guest that runs, if it can be made to drop it.
  static constexpr std::chrono::milliseconds kMaxKept{20};

  /// Reads the memory map again, whatever it costs.
  [[nodiscard]] Result<void> refresh();
  /// Releases the memory of reads that were fetched and not requested.
  void drop_prefetched() { prefetcher_.drop(); }
  /// The bad pages that were read as zeros.
  [[nodiscard]] const BadPages& bad_pages() const { return bad_pages_; }

private:
  /// Limit of the wait for a poll of the layout by another thread; polls take microseconds.
  static constexpr std::chrono::milliseconds kMaxPollWait{20};

  const Context context_;
  VmCounters& counters_;
  BadPages bad_pages_;
  MemoryView view_;
  Prefetcher prefetcher_;
  std::atomic<std::int64_t> next_layout_poll_ns_{0};
  std::atomic<bool> drop_pending_{false}; ///< a job will have the kernel drop its pages
  TimedLock layout_poll_;                 ///< held while the driver polls the layout
};

} // namespace vmemfs
