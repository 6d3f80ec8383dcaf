// SPDX-License-Identifier: MIT
#include "vm/prefetch/prefetch_limits.h"

#include "core/gpa.h"
#include "vm/prefetch/read_ahead.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace vmemfs {
namespace {

/// A reader should not wait for a call of this duration that fetches more than was requested.
constexpr std::chrono::milliseconds kLongCall{1};
/// A batch is cheap if this many pages cost as much as the call.
constexpr int kCheapBatch = 16;
/// What an isolated read fetches by a long call, if its pages cost at most this part of the call.
constexpr std::size_t kBlock = std::size_t{64} << 10U;
constexpr int kBlockShare = 4;
/// Part of the cache that prefetching may fill, so that it never evicts pages in use.
constexpr std::size_t kCacheShare = 4;

/// Max number of bytes to prefetch if they cost little more than the call itself.
std::size_t cheap_batch(const ReadCost& cost) {
  if (cost.call.count() == 0 || cost.page * kCheapBatch > cost.call) {
    return 0;
  }
  const auto pages = cost.page.count() > 0 ? cost.call / cost.page : std::numeric_limits<std::int64_t>::max();
  return std::min(static_cast<std::size_t>(pages), ReadAhead::kMaxWindow / kPageSize) * kPageSize;
}

} // namespace

void PrefetchLimits::update(const CacheSettings& settings, const ReadCost& cost, std::uint64_t cache_limit) {
  const std::size_t share = cache_limit / kCacheShare;
  const std::size_t batch = cheap_batch(cost);
  const bool is_long = cost.call >= kLongCall;
  with_read_ = is_long ? 0 : std::min(batch, share);
  const bool cheap_block = cost.page * static_cast<int>(kBlock / kPageSize) * kBlockShare <= cost.call;
  block_ = is_long && cheap_block && share >= kBlock ? kBlock : 0;
  in_background_ = is_long && batch != 0 ? std::min(ReadAhead::kMaxBackgroundWindow, share) : 0;
  without_cache_ = settings.mode == CacheMode::automatic;
}

} // namespace vmemfs
