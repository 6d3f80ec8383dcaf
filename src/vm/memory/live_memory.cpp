// SPDX-License-Identifier: MIT
#include "vm/memory/live_memory.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace vmemfs {
namespace {

/// Max age of the guest's memory layout while it is being read.
constexpr std::chrono::milliseconds kLayoutPollInterval{10};

std::int64_t monotonic_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
}

} // namespace

LiveMemory::LiveMemory(const Context& context, VmCounters& counters)
    : context_{context}, counters_{counters}, view_{context.driver, bad_pages_},
      prefetcher_{context.attachment, view_, context.cache, context.jobs} {}

tl::expected<std::size_t, ErrorKind> LiveMemory::read(std::span<const GpaRange> ranges, HolePolicy policy,
                                                      ReadScratch& scratch, ReadAhead* read_ahead) {
  if (context_.attachment.detached()) {
    return tl::unexpected{ErrorKind::vm_gone};
  }
  const std::int64_t now = monotonic_ns();
  if (now >= next_layout_poll_ns_.load(std::memory_order_relaxed)) {
    poll_layout();
  }
  if (ranges.empty()) {
    read_ahead = nullptr;
  }
  if (read_ahead != nullptr) {
    for (const GpaRange& range : ranges) {
      read_ahead->note(range.begin.value(), range.size());
    }
  }
  if (context_.cache.in_use()) {
    CacheUse use = context_.cache.use(now);
    if (read_ahead != nullptr) {
      prefetcher_.add_to(use, *read_ahead, ranges.back().end.value());
    }
    return view_.read(ranges, policy, scratch, use);
  }
  if (ranges.size() == 1 && prefetcher_.helps_live(read_ahead, ranges.front().size())) {
    const GpaRange& range = ranges.front();
    return prefetcher_.read_live({read_ahead, range.begin.value(), range.size(), policy, 0}, scratch);
  }
  return view_.read(ranges, policy, scratch);
}

void LiveMemory::copy(std::span<ReadPiece> pieces) {
  if (!context_.attachment.detached()) {
    context_.driver.read(pieces);
    return;
  }
  for (ReadPiece& piece : pieces) {
    piece.failure = ErrorKind::vm_gone;
  }
}

tl::expected<void, ErrorKind> LiveMemory::read_each(std::span<ReadPiece> pieces) {
  if (context_.attachment.detached()) {
    return tl::unexpected{ErrorKind::vm_gone};
  }
  const std::int64_t now = monotonic_ns();
  if (now >= next_layout_poll_ns_.load(std::memory_order_relaxed)) {
    poll_layout();
  }
  return view_.read_each(pieces, context_.cache.in_use() ? context_.cache.use(now) : CacheUse{},
                         context_.jobs);
}

Result<std::size_t> LiveMemory::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  auto written = counters_.writes.counted(context_.writes.write(offset, bytes));
  counters_.written_bytes.add(written.value_or(0));
  return written;
}

UseSearch LiveMemory::find(const GpaRange& range, MemoryUse wanted) {
  return context_.attachment.detached() ? all_held(range.size(), wanted)
                                        : context_.driver.find(range, wanted);
}

/// Never 0 for memory that is there: some tools take a file without blocks for one hole and do not read it.
std::uint64_t LiveMemory::held_bytes() const {
  const std::uint64_t all = map()->data_bytes();
  const auto held = context_.driver.held_bytes();
  return held ? std::clamp(*held, std::min(all, kPageSize), all) : all;
}

/// A VMM can keep what tells its layout in memory that never answers. Then one thread hangs here, and the
/// others take the layout as last known.
void LiveMemory::poll_layout() {
  constexpr std::int64_t kEvery = kLayoutPollInterval / std::chrono::nanoseconds{1};
  next_layout_poll_ns_.store(monotonic_ns() + kEvery, std::memory_order_relaxed);
  const TimedLock::Owner polling{layout_poll_, std::chrono::steady_clock::now() + kMaxPollWait};
  if (polling.owns_lock()) {
    context_.driver.poll_layout(false);
  }
}

/// The flag goes first: a page that comes during the job gets a job of its own.
void LiveMemory::note_kept_page() {
  if (drop_pending_.exchange(true)) {
    return;
  }
  context_.jobs.post_after(kMaxKept, [this] {
    drop_pending_ = false;
    if (!context_.coherence.epoch().load().stable) {
      context_.coherence.drop_kept_pages();
    }
  });
}

Result<void> LiveMemory::refresh() {
  const auto lock = context_.run_state.lock_operations();
  if (!lock) {
    return context_.events.noted<void>(tl::unexpected{lock.error()});
  }
  if (context_.attachment.gone()) {
    return gone_error();
  }
  auto refreshed = context_.driver.refresh();
  if (refreshed) {
    context_.coherence.changed();
  }
  return context_.events.noted(std::move(refreshed));
}

} // namespace vmemfs
