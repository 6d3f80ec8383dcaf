// SPDX-License-Identifier: MIT
// Cost of looking up an address, and of a whole read without FUSE.
#include "drivers/fake/fake_driver.h"
#include "vm/memory/memory_view.h"

#include <benchmark/benchmark.h>
#include <cstring>

namespace vmemfs {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

MemoryMap map_of(std::uint64_t regions) {
  std::vector<Region> list;
  for (std::uint64_t i = 0; i < regions; ++i) {
    list.push_back({{Gpa{i * 2 * kMiB}, Gpa{i * 2 * kMiB + kMiB}}, RegionKind::ram, true, 0, 0});
  }
  return std::move(*MemoryMap::build(std::move(list), {"ram"}));
}

void BM_MemoryMapLookup(benchmark::State& state) {
  const auto regions = static_cast<std::uint64_t>(state.range(0));
  const MemoryMap map = map_of(regions);
  std::uint64_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(map.at(Gpa{at}));
    at = (at + 0x123457) % (regions * 2 * kMiB);
  }
}
BENCHMARK(BM_MemoryMapLookup)->Arg(2)->Arg(16)->Arg(256);

/// The guest of zeros is borrowed, not copied: the rest is the cost of the layers.
void BM_ReadBorrowed(benchmark::State& state) {
  FakeOptions options;
  options.size = 256 * kMiB;
  options.pattern = FakePattern::zero;
  const auto driver = std::move(*FakeDriver::create(options));
  BadPages bad_pages;
  MemoryView view{*driver, bad_pages};
  ReadScratch scratch;
  const auto size = static_cast<std::size_t>(state.range(0));
  std::uint64_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(view.read(at, size, HolePolicy::honest, scratch));
    scratch.release();
    at = (at + size) % (200 * kMiB);
  }
}
BENCHMARK(BM_ReadBorrowed)->Arg(8)->Arg(4096)->Arg(1 << 20)->Threads(1)->Threads(2);

void BM_ReadCopied(benchmark::State& state) {
  const auto driver = std::move(*FakeDriver::create({}));
  BadPages bad_pages;
  MemoryView view{*driver, bad_pages};
  ReadScratch scratch;
  const auto size = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(view.read(4096, size, HolePolicy::honest, scratch));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_ReadCopied)->Arg(8)->Arg(4096)->Arg(1 << 20);

/// The reference for all copying.
void BM_Memcpy(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  std::vector<std::byte> from(size);
  std::vector<std::byte> to(size);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), size);
    benchmark::DoNotOptimize(to.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Memcpy)->Arg(4096)->Arg(1 << 20);

} // namespace
} // namespace vmemfs
