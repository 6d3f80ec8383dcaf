// SPDX-License-Identifier: MIT
// The system call that each vCPU thread is in (/proc/PID/task/TID/syscall), which tells whether it is in the
// guest.
#pragma once

#include "drivers/kvm/vcpus/vcpu_stop.h"

#include <span>
#include <string_view>
#include <sys/types.h>

namespace vmemfs::kvm {

enum class ThreadCall : unsigned char {
  guest,   ///< it is in KVM_RUN and waits, as for the guest's next interrupt
  running, ///< it is on a CPU, in the guest or not
  other,
};

/// What the file's text says.
[[nodiscard]] ThreadCall thread_call(std::string_view text);

/// None of the vCPUs was in the guest in several samples in a row: their program has paused them. Up to some
/// milliseconds. False also if it cannot be found out.
[[nodiscard]] bool all_outside_of_guest(pid_t pid, std::span<const VcpuThread> vcpus);

} // namespace vmemfs::kvm
