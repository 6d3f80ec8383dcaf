// SPDX-License-Identifier: MIT
// vCPUs of a VM, all stopped at one time, with their registers: their threads by ptrace(2), the registers by
// their run pages. The program that runs the VM takes no part; its other threads, the devices of the kernel
// and the guest's clock go on.
#pragma once

#include "core/error.h"
#include "core/vcpu_set.h"
#include "drivers/kvm/vcpus/requested_pages.h"
#include "drivers/kvm/vcpus/run_page.h"
#include "host/hva.h"
#include "host/process_space.h"
#include "vmm/traced_threads.h"

#include <chrono>
#include <optional>
#include <span>
#include <sys/types.h>
#include <vector>

namespace vmemfs::kvm {

struct StoppedVcpu {
  /// nullopt: its thread was not in KVM_RUN, as while the VM is paused by its own program.
  std::optional<StoredRegisters> registers;
  /// Between two instructions, so that registers may be changed.
  bool between_instructions = false;
};

using VcpuTest = bool (*)(const StoppedVcpu& vcpu);
[[nodiscard]] inline bool has_registers(const StoppedVcpu& vcpu) { return vcpu.registers.has_value(); }
[[nodiscard]] inline bool is_between_instructions(const StoppedVcpu& vcpu) {
  return vcpu.between_instructions;
}

/// Of one thread that exists for it alone: see TracedThreads. The vCPUs run again when it is destroyed.
class VcpuStop {
public:
  using Clock = TracedThreads::Clock;

  /// Tries again, and lets vCPUs run in between, until all that were found are `good`, or `until`; then it is
  /// what was found last. All of `vcpus` have a thread; those without a page give no registers.
  static Result<VcpuStop> make(const ProcessSpace& space, std::span<const VcpuThread> vcpus, VcpuTest good,
                               Clock::time_point until);

  [[nodiscard]] const std::vector<StoppedVcpu>& vcpus() const { return vcpus_; }
  [[nodiscard]] bool any_ended() { return threads_.any_ended(); }

private:
  VcpuStop(TracedThreads threads, std::vector<StoppedVcpu> vcpus)
      : threads_{std::move(threads)}, vcpus_{std::move(vcpus)} {}

  static Result<VcpuStop> once(const ProcessSpace& space, std::span<const VcpuThread> vcpus, VcpuTest good);

  TracedThreads threads_;
  std::vector<StoppedVcpu> vcpus_;
};

} // namespace vmemfs::kvm
