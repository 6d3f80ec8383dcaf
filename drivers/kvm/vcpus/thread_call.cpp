// SPDX-License-Identifier: MIT
#include "drivers/kvm/vcpus/thread_call.h"

#include "core/text.h"
#include "host/process.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <sys/syscall.h>
#include <thread>

namespace vmemfs::kvm {
namespace {

/// A vCPU that does much I/O is outside of KVM_RUN for a fifth of the time.
constexpr int kOutside = 8;
/// One that is paused wakes up now and then, as after it was stopped by a tracer; on a busy host it then
/// waits for a CPU, which looks the same.
constexpr int kRunning = 12;
constexpr std::chrono::microseconds kBetweenSamples{700};

ThreadCall call_of(pid_t pid, const VcpuThread& vcpu) {
  const auto text = read_proc_file(fmt::format("/proc/{}/task/{}/syscall", pid, vcpu.thread), 4096);
  return text ? thread_call(*text) : ThreadCall::guest;
}

/// The one of all vCPUs that is closest to the guest.
ThreadCall sample(pid_t pid, std::span<const VcpuThread> vcpus) {
  ThreadCall closest = ThreadCall::other;
  for (const VcpuThread& vcpu : vcpus) {
    if (vcpu.thread != 0) {
      closest = std::min(closest, call_of(pid, vcpu));
    }
  }
  return closest;
}

} // namespace

ThreadCall thread_call(std::string_view text) {
  if (trim(text) == "running") {
    return ThreadCall::running;
  }
  const auto fields = split(trim(text), ' ');
  const bool is_guest =
      fields.size() > 2 && parse_u64(fields[0]) == SYS_ioctl && parse_u64(fields[2]) == KVM_RUN;
  return is_guest ? ThreadCall::guest : ThreadCall::other;
}

bool all_outside_of_guest(pid_t pid, std::span<const VcpuThread> vcpus) {
  int running = 0;
  for (int outside = 0; outside < kOutside;) {
    const ThreadCall call = sample(pid, vcpus);
    running += call == ThreadCall::running ? 1 : 0;
    if (call == ThreadCall::guest || running == kRunning) {
      return false;
    }
    outside = call == ThreadCall::other ? outside + 1 : 0;
    std::this_thread::sleep_for(kBetweenSamples);
  }
  return true;
}

} // namespace vmemfs::kvm
