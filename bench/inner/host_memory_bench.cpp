// SPDX-License-Identifier: MIT
// Cost of reading another process's memory: the overhead over the system call.
#include "host/host_memory.h"

#include <benchmark/benchmark.h>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr std::size_t kSize = std::size_t{64} << 20;

/// A child that holds 64 MiB of memory, at the same address as in this process.
class Holder {
public:
  explicit Holder(bool shared)
      : memory_{::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE,
                       file_of(shared), 0)} {
    std::memset(memory_, 1, kSize);
    pid_ = ::fork();
    if (pid_ == 0) {
      std::memset(memory_, 2, kSize); // its own pages, not ours
      ::pause();
      ::_exit(0);
    }
    ::usleep(200'000); // until the child has written
  }
  ~Holder() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::munmap(memory_, kSize);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] Hva hva() const { return reinterpret_cast<Hva>(memory_); }

private:
  static int file_of(bool shared) {
    const int fd = shared ? ::memfd_create("bench", MFD_CLOEXEC) : ::open("/dev/zero", O_RDWR | O_CLOEXEC);
    if (shared && ::ftruncate(fd, kSize) != 0) {
      throw std::runtime_error{"no memory"};
    }
    return fd;
  }

  void* memory_;
  pid_t pid_ = -1;
};

std::shared_ptr<const ProcessSpace> open_space(const Holder& holder) {
  return ProcessSpace::open(std::make_shared<const Process>(Process::open(holder.pid()).value()),
                            ProcessReaders::mounter)
      .value();
}

std::shared_ptr<HostMemory> open_memory(const Holder& holder) {
  const HvaRange range{holder.hva(), holder.hva() + kSize};
  auto memory = HostMemory::open(open_space(holder), {&range, 1});
  if (!memory) {
    throw std::runtime_error{memory.error().message()};
  }
  return std::move(*memory);
}

void BM_ProcessVmReadv(benchmark::State& state) {
  const Holder holder{false};
  const auto size = static_cast<std::size_t>(state.range(0));
  std::vector<std::byte> buffer(size);
  std::size_t at = 0;
  for (auto _ : state) {
    const iovec local{buffer.data(), size};
    const iovec remote{reinterpret_cast<void*>(holder.hva() + at), size};
    benchmark::DoNotOptimize(::process_vm_readv(holder.pid(), &local, 1, &remote, 1, 0));
    at = (at + size) % (kSize - size);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_ProcessVmReadv)->Arg(8)->Arg(4096)->Arg(1 << 20);

void BM_HostMemoryRead(benchmark::State& state) {
  const Holder holder{state.range(1) != 0};
  const auto memory = open_memory(holder);
  const auto size = static_cast<std::size_t>(state.range(0));
  std::vector<std::byte> buffer(size);
  std::size_t at = 0;
  for (auto _ : state) {
    HostPiece piece{holder.hva() + at, buffer, 0, std::nullopt};
    memory->read({&piece, 1});
    benchmark::DoNotOptimize(piece.done);
    at = (at + size) % (kSize - size);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_HostMemoryRead)
    ->ArgNames({"size", "shared"})
    ->ArgsProduct({{8, 4096, 128 << 10, 1 << 20}, {0, 1}});

void BM_CheckCurrent(benchmark::State& state) {
  const Holder holder{false};
  const auto space = open_space(holder);
  for (auto _ : state) {
    benchmark::DoNotOptimize(space->check_current());
  }
}
BENCHMARK(BM_CheckCurrent);

void BM_SeemsCurrent(benchmark::State& state) {
  const Holder holder{false};
  const auto space = open_space(holder);
  for (auto _ : state) {
    benchmark::DoNotOptimize(space->seems_current());
  }
}
BENCHMARK(BM_SeemsCurrent);

void BM_HostMemoryBorrow(benchmark::State& state) {
  const Holder holder{true};
  const auto memory = open_memory(holder);
  const auto size = static_cast<std::size_t>(state.range(0));
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(memory->borrow(holder.hva() + at, size));
    at = (at + size) % (kSize - size);
  }
}
BENCHMARK(BM_HostMemoryBorrow)->Arg(8)->Arg(4096)->Arg(1 << 20);

} // namespace
} // namespace vmemfs
