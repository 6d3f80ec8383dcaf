// SPDX-License-Identifier: MIT
// Cost of a page from the cache, compared with copying it.
#include "vm/cache/page_cache.h"

#include <array>
#include <atomic>
#include <benchmark/benchmark.h>
#include <cstring>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::uint64_t kPages = 8192; ///< 32 MiB
constexpr std::uint64_t kEpoch = 1;

using Page = std::array<std::byte, kPageSize>;

/// Pages in random order, the same in each benchmark; every thread has its own.
class RandomPages {
public:
  explicit RandomPages(const benchmark::State& state)
      : state_{static_cast<std::uint64_t>(state.thread_index()) * 0x1234'5678 + 1} {}

  std::uint64_t next() {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    return state_ >> 33U & (kPages - 1);
  }

private:
  std::uint64_t state_;
};

void BM_PageCopy(benchmark::State& state) {
  static const std::vector<std::byte> memory(kPages * kPageSize, std::byte{7});
  RandomPages pages{state};
  Page buffer;
  for (auto _ : state) {
    std::memcpy(buffer.data(), &memory[pages.next() * kPageSize], kPageSize);
    benchmark::DoNotOptimize(buffer.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kPageSize));
}
BENCHMARK(BM_PageCopy)->Threads(1)->Threads(2)->UseRealTime();

/// A cache with all pages.
PageCache& full_cache() {
  static PageCache cache{kPages * kPageSize};
  static const bool filled = [] {
    for (std::uint64_t page = 0; page < kPages; ++page) {
      const auto claimed = cache.claim(Gfn{page}, {kEpoch, 0, 1});
      std::memset(PageCache::bytes(claimed.frame).data(), 7, kPageSize);
      cache.publish(claimed.frame, {kEpoch, 1}, false);
    }
    return true;
  }();
  benchmark::DoNotOptimize(filled);
  return cache;
}

template <typename Use> void hit(benchmark::State& state, const Use& use) {
  PageCache& cache = full_cache();
  RandomPages pages{state};
  std::int64_t now = 2;
  std::uint64_t missed = 0;
  for (auto _ : state) {
    PageCache::Frame* const frame = cache.find(Gfn{pages.next()}, {kEpoch, 0, ++now});
    if (frame == nullptr) {
      ++missed;
      continue;
    }
    use(frame);
    cache.unpin(frame);
  }
  if (missed != 0) {
    state.SkipWithError("pages are missing");
  }
}

void BM_CacheHit(benchmark::State& state) {
  Page buffer;
  hit(state, [&](PageCache::Frame* frame) {
    std::memcpy(buffer.data(), PageCache::bytes(frame).data(), kPageSize);
    benchmark::DoNotOptimize(buffer.data());
    benchmark::ClobberMemory();
  });
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kPageSize));
}
BENCHMARK(BM_CacheHit)->Threads(1)->Threads(2)->UseRealTime();

void BM_CacheHitNoCopy(benchmark::State& state) {
  hit(state, [](PageCache::Frame* frame) { benchmark::DoNotOptimize(frame); });
}
BENCHMARK(BM_CacheHitNoCopy)->Threads(1)->Threads(2)->UseRealTime();

} // namespace
} // namespace vmemfs
