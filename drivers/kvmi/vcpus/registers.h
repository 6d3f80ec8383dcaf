// SPDX-License-Identifier: MIT
// Registers of the vCPUs by KVMI, and setting them.
//
// The kernel gives a running vCPU's registers too. It sets registers only of a vCPU that waits for the reply
// to an event, and only when it gets that reply; until then it gives the former values. So what was set is
// kept here and shown as if it were in force.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/register_set.h"
#include "drivers/kvmi/link/session.h"
#include "util/mutex.h"

#include <cstdint>
#include <linux/kvm.h>
#include <map>
#include <span>
#include <vector>

namespace vmemfs::kvmi {

/// Whether GET_REGISTERS gives this register.
[[nodiscard]] bool is_readable(RegisterIndex reg);

/// One reply to GET_REGISTERS.
struct VcpuState {
  kvm_regs general;
  kvm_sregs system;
  struct Msr {
    std::uint32_t index;
    std::uint64_t value;
  };
  std::vector<Msr> msrs;
};

/// `data` after the status. source_failed: shorter than it says, or with more MSRs than were asked for.
[[nodiscard]] Result<VcpuState> parse_registers_reply(std::span<const std::byte> data, std::size_t max_msrs);

/// Thread-safe; of one session.
class Registers {
public:
  /// `session` outlives this object.
  explicit Registers(Session& session) : session_{session} {}

  /// All vCPUs by requests that are on their way together. not_found: there is no such vCPU.
  [[nodiscard]] Result<std::vector<RegisterSet>> read(std::span<const VcpuId> vcpus) EXCLUDES(mutex_);

  /// Sets general registers, rip and rflags of a vCPU that is paused; others are refused.
  [[nodiscard]] Result<void> write(VcpuId vcpu, std::span<const RegisterValue> values) EXCLUDES(mutex_);

  /// The vCPUs have been resumed: what was set is in force.
  void resumed() EXCLUDES(mutex_);

private:
  [[nodiscard]] Result<std::vector<VcpuState>> ask(std::span<const VcpuId> vcpus) EXCLUDES(mutex_);

  Session& session_;
  Mutex mutex_;
  std::map<VcpuId, kvm_regs> set_ GUARDED_BY(mutex_); ///< not in force yet
};

} // namespace vmemfs::kvmi
