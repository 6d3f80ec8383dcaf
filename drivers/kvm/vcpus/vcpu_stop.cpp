// SPDX-License-Identifier: MIT
#include "drivers/kvm/vcpus/vcpu_stop.h"

#include "drivers/kvm/vcpus/requested_pages.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <sys/syscall.h>
#include <thread>
#include <utility>

namespace vmemfs::kvm {
namespace {

/// A thread stops in microseconds, but not while it waits in the kernel, or for a CPU of a busy host.
constexpr std::chrono::milliseconds kStopLimit{2000};
/// A vCPU that does much I/O is outside of KVM_RUN for a fifth of the time and more.
constexpr int kRuns = 10;
constexpr std::chrono::microseconds kRun{30};
constexpr std::chrono::microseconds kBetweenTries{500};
constexpr std::chrono::milliseconds kMaxBetweenTries{20};

bool left_kvm_run(const std::optional<LeftCall>& call) {
  return call && call->number == SYS_ioctl && static_cast<std::uint32_t>(call->second_argument) == KVM_RUN;
}

/// Registers of a thread that is elsewhere may have been changed since by its program.
Result<StoppedVcpu> stopped_vcpu(const std::optional<LeftCall>& call, const std::optional<RunPage>& page) {
  if (!page || !left_kvm_run(call)) {
    return StoppedVcpu{};
  }
  return page->stored().map([&](std::optional<StoredRegisters> registers) {
    const bool between =
        registers && call->result == -EINTR && registers->exit_reason == std::uint32_t{KVM_EXIT_INTR};
    return StoppedVcpu{registers, between};
  });
}

} // namespace

/// A vCPU that is not good at first, as while its program emulates a device, runs on for a moment, while the
/// others stay stopped.
Result<VcpuStop> VcpuStop::once(const ProcessSpace& space, std::span<const VcpuThread> vcpus, VcpuTest good) {
  std::vector<pid_t> ids;
  std::ranges::transform(vcpus, std::back_inserter(ids), &VcpuThread::thread);
  auto threads = TracedThreads::trace(space.process(), ids);
  if (!threads) {
    return tl::unexpected{std::move(threads.error())};
  }
  RequestedPages pages{space, vcpus}; // before the threads run again, they are as they were
  const auto until = Clock::now() + kStopLimit;
  auto done = pages.request().and_then([&] { return threads->stop(until); });
  std::vector<StoppedVcpu> found(vcpus.size());
  for (std::size_t i = 0; done && i < vcpus.size(); ++i) {
    for (int runs = 0; done; ++runs) {
      done = stopped_vcpu(threads->left_call(i), pages[i]).map([&](const StoppedVcpu& vcpu) {
        found[i] = vcpu;
      });
      if (!done || good(found[i]) || !pages[i] || runs == kRuns) {
        break;
      }
      done = threads->run_shortly(i, kRun, until);
    }
  }
  if (!done) {
    return tl::unexpected{std::move(done.error())};
  }
  return VcpuStop{std::move(*threads), std::move(found)};
}

Result<VcpuStop> VcpuStop::make(const ProcessSpace& space, std::span<const VcpuThread> vcpus, VcpuTest good,
                                Clock::time_point until) {
  std::chrono::microseconds wait = kBetweenTries;
  for (;;) {
    auto stop = once(space, vcpus, good);
    if (!stop || std::ranges::all_of(stop->vcpus(), good) || Clock::now() + wait > until) {
      return stop;
    }
    stop->threads_.resume();
    std::this_thread::sleep_for(wait);
    wait = std::min<std::chrono::microseconds>(2 * wait, kMaxBetweenTries);
  }
}

} // namespace vmemfs::kvm
