// SPDX-License-Identifier: MIT
// Cost of a read of an attached VM, without FUSE: the choice of cache and prefetching, and the read itself.
#include "drivers/fake/fake_driver.h"
#include "vm/vm.h"

#include <benchmark/benchmark.h>

namespace vmemfs {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

/// A paused VM of a guest, with its services.
struct PausedVm {
  explicit PausedVm(const FakeOptions& options)
      : vm{Vm::create(1, "vm", std::move(*FakeDriver::create(options)),
                      {.jobs = jobs,
                       .prefetch_jobs = jobs,
                       .slow_prefetch_jobs = jobs,
                       .cache_budget = budget,
                       .guard = nullptr,
                       .changed = [](VmId, bool) {},
                       .drop_outer_caches = [](VmId) {}})} {
    static_cast<void>(vm->run_state().pause());
  }

  CacheBudget budget{64 * kMiB};
  Worker jobs;
  std::shared_ptr<Vm> vm;
};

/// Reads of an open file at one place, so that nothing is sequential.
void read_vm(benchmark::State& state, AddressSpace& memory) {
  ReadScratch scratch;
  ReadAhead read_ahead;
  const auto size = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(memory.read(4096, size, HolePolicy::honest, scratch, &read_ahead));
    scratch.release();
  }
}

/// The guest of zeros is borrowed, not copied: the rest is the cost of the layers.
void BM_VmReadBorrowed(benchmark::State& state) {
  FakeOptions options;
  options.pattern = FakePattern::zero;
  PausedVm paused{options};
  read_vm(state, paused.vm->guest().memory());
}
BENCHMARK(BM_VmReadBorrowed)->Arg(8)->Arg(4096);

void BM_VmReadCopied(benchmark::State& state) {
  PausedVm paused{{}};
  read_vm(state, paused.vm->guest().memory());
}
BENCHMARK(BM_VmReadCopied)->Arg(8)->Arg(4096);

void BM_VmReadCached(benchmark::State& state) {
  PausedVm paused{{}};
  static_cast<void>(
      paused.vm->cache().change([](CacheSettings& settings) { settings.mode = CacheMode::on; }));
  read_vm(state, paused.vm->guest().memory());
}
BENCHMARK(BM_VmReadCached)->Arg(8)->Arg(4096);

} // namespace
} // namespace vmemfs
