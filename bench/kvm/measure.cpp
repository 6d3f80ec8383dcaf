// SPDX-License-Identifier: MIT
// measure load | walk PID | stop PID: costs of the driver `kvm`, for bench/kvm/run, which also starts the
// VMs.
//
//   load       loads the BPF program
//   walk PID   lists the VMs of the host, and reads the slots of the VM of this process
//   stop PID   reads the registers of this VM's vCPU again and again. The VM is one of tests/guests/kvm_vmm,
//   and is of
//              no use afterwards: it gets a program that watches its clock.
#include "arch/x86_64/registers.h"
#include "drivers/kvm/kvm_driver.h"
#include "guests/kvm_vmm/layout.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fmt/format.h>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
#include <x86intrin.h>

namespace {

using namespace vmemfs;
using namespace vmemfs::kvm;
using namespace vmemfs::test::kvm_vmm;
using x86_64::Register;
using Clock = std::chrono::steady_clock;

template <typename T> T value_of(Result<T> result) {
  if (!result) {
    std::cerr << result.error().message() << '\n';
    std::exit(1);
  }
  return std::move(*result);
}

double microseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

double cpu_microseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double percentile(std::vector<double> values, double part) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

void print(std::string_view what, const std::vector<double>& values) {
  fmt::print("{}: p50 {:.1f} us, p99 {:.1f} us\n", what, percentile(values, 0.5), percentile(values, 0.99));
}

/// A program for the guest: it keeps the largest step of its clock at kCounter. Real mode.
constexpr std::uint64_t kClockCode = kCode + 0x800;
constexpr auto kClockProgram = std::to_array<unsigned char>({
    0x0f, 0x31,                   // again: rdtsc
    0x66, 0x89, 0xc1,             // mov ecx, eax
    0x66, 0x29, 0xf0,             // sub eax, esi
    0x66, 0x89, 0xce,             // mov esi, ecx
    0x66, 0x3b, 0x06, 0x00, 0x20, // cmp eax, [kCounter]
    0x76, 0xee,                   // jbe again
    0x66, 0xa3, 0x00, 0x20,       // mov [kCounter], eax
    0xeb, 0xe8,                   // jmp again
});
static_assert(kCounter == 0x2000);

class Guest {
public:
  explicit Guest(pid_t pid)
      : driver_{value_of(KvmDriver::attach(
            {pid}, {.watcher = watcher_, .worker = worker_, .runtime = std::make_shared<KvmRuntime>()}))} {}

  void write(std::uint64_t gpa, std::span<const std::byte> bytes) {
    if (const auto written = driver_->memory_writer()->write(Gpa{gpa}, bytes); written.failure) {
      std::cerr << written.failure->message() << '\n';
      std::exit(1);
    }
  }

  /// The vCPU may be in the middle of an instruction, which is over soon.
  void run_at(std::uint64_t rip) {
    const RegisterValue value{Register::rip, rip};
    while (!driver_->register_writer()->write_registers(VcpuId{0}, {&value, 1})) {
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
  }

  [[nodiscard]] bool read_registers() { return driver_->register_reader()->read_vcpu(VcpuId{0}).has_value(); }

  /// Ticks of the largest step while `action` ran.
  template <typename Action> double largest_step(const Action& action) {
    write(kCounter, std::as_bytes(std::span{&kZero, 1}));
    action();
    std::uint32_t step = 0;
    ReadPiece piece{Gpa{kCounter}, std::as_writable_bytes(std::span{&step, 1}), 0, std::nullopt};
    driver_->read({&piece, 1});
    return step;
  }

private:
  static constexpr std::uint32_t kZero = 0;
  FdWatcher watcher_;
  Worker worker_;
  std::unique_ptr<KvmDriver> driver_;
};

double ticks_per_microsecond() {
  const auto begin = Clock::now();
  const auto ticks = __rdtsc();
  std::this_thread::sleep_for(std::chrono::milliseconds{50});
  return static_cast<double>(__rdtsc() - ticks) / microseconds_since(begin);
}

void measure_stops(pid_t pid) {
  constexpr std::size_t kStops = 3000;
  Guest guest{pid};
  guest.write(kClockCode, std::as_bytes(std::span{kClockProgram}));
  guest.run_at(kClockCode);
  const double ticks = ticks_per_microsecond();
  std::vector<double> reads;
  std::vector<double> stops;
  std::vector<double> without;
  int failed = 0;
  while (reads.size() < kStops) {
    bool read = false;
    std::chrono::duration<double, std::micro> length{};
    const double step = guest.largest_step([&] {
      const auto begin = Clock::now();
      read = guest.read_registers();
      length = Clock::now() - begin;
    });
    if (!read) {
      ++failed;
      continue;
    }
    reads.push_back(length.count());
    stops.push_back(step / ticks);
    without.push_back(guest.largest_step([&] { std::this_thread::sleep_for(length); }) / ticks);
  }
  if (failed > 0) {
    fmt::print("reads that failed, as on a busy host: {}\n", failed);
  }
  print("a read of the registers", reads);
  print("stop of the guest by it, by the guest's clock", stops);
  print("stop of the guest in the same time without it", without);
}

void measure_loads() {
  std::vector<double> loads;
  for (int i = 0; i < 9; ++i) {
    const double begin = cpu_microseconds();
    static_cast<void>(value_of(VmWalk::load()));
    loads.push_back(cpu_microseconds() - begin);
  }
  fmt::print("loading the BPF program: {:.0f} ms of CPU time\n", percentile(loads, 0.5) / 1e3);
}

void measure_walks(pid_t pid) {
  const auto walk = value_of(VmWalk::load());
  const std::size_t vms = value_of(walk->list_all()).size();
  std::vector<double> all;
  std::vector<double> one;
  for (int i = 0; i < 200; ++i) {
    auto begin = Clock::now();
    static_cast<void>(value_of(walk->list_all()));
    all.push_back(microseconds_since(begin));
    begin = Clock::now();
    static_cast<void>(value_of(walk->slots_of(pid, value_of(walk->list_of(pid)).front().key)));
    one.push_back(microseconds_since(begin));
  }
  fmt::print("VMs: {}\n", vms);
  print("a scan of the host", all);
  print("the slots of one VM", one);
}

} // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  const pid_t pid = argc > 2 ? std::atoi(argv[2]) : 0;
  if (what == "load") {
    measure_loads();
  } else if (what == "walk" && pid != 0) {
    measure_walks(pid);
  } else if (what == "stop" && pid != 0) {
    measure_stops(pid);
  } else {
    std::cerr << "usage: measure load | walk PID | stop PID\n";
    return 2;
  }
  return 0;
}
