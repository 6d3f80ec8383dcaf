// SPDX-License-Identifier: MIT
#include "vm/prefetch/background_prefetch.h"

#include "util/log.h"
#include "vm/memory/read_scratch.h"

#include <algorithm>
#include <new>

namespace vmemfs {
namespace {

/// Size of a call, and the max number of pending ones.
constexpr std::size_t kPiece = std::size_t{1} << 20U;
constexpr unsigned kMaxPending = 12;

} // namespace

void BackgroundPrefetch::start(ReadAhead& read_ahead, std::uint64_t end, std::size_t max_bytes,
                               std::uint64_t epoch) {
  if (pending_.load(std::memory_order_relaxed) >= kMaxPending) {
    return;
  }
  const auto [from, bytes] = read_ahead.next_background_range(end, max_bytes);
  if (bytes == 0) {
    return;
  }
  const std::uint64_t to = std::min(from + bytes, view_.size());
  for (std::uint64_t at = from; at < to; at += kPiece) {
    ++pending_;
    const GpaRange piece{Gpa{at}, Gpa{std::min<std::uint64_t>(at + kPiece, to)}};
    jobs_.post_slow_prefetch([this, piece, epoch] {
      fetch(piece, epoch);
      --pending_;
    });
  }
}

void BackgroundPrefetch::fetch(GpaRange range, std::uint64_t epoch) {
  const CacheUse use = cache_.use_now();
  if (use.cache == nullptr || use.request.epoch != epoch || !cache_.in_use() || attachment_.gone()) {
    return;
  }
  try {
    ReadScratch scratch;
    view_.prefetch(range, scratch, use);
  } catch (const std::bad_alloc&) { // reported to the reader that requests the pages
    log::debug("cannot prefetch {} bytes at {:#x}: out of memory", range.size(), range.begin.value());
  }
}

} // namespace vmemfs
