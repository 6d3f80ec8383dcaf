// SPDX-License-Identifier: MIT
// Identity of a VM that is the n-th one of a process of this host.
#pragma once

#include "host/process.h"

#include <cstdint>
#include <string>

namespace vmemfs::kvm {

/// FoundVm::key. That of the first VM is the key that other drivers give the process, so that they have it
/// with more functions.
[[nodiscard]] std::string key_of_vm(const Process& process, std::uint64_t index);

/// The name on the command line, else that of its jail, container or unit, else the process's short name and
/// its number. Not trusted.
[[nodiscard]] std::string name_of_process(const Process& process, std::uint64_t index);

/// The process is no machine although it uses KVM: gVisor's, whose slots mirror its own address space.
[[nodiscard]] bool is_sandbox(const Process& process);

/// The executable is called as QEMU's are.
[[nodiscard]] bool is_qemu(const Process& process);

/// This process is in no container's pid namespace. The kernel lists processes and threads by their numbers
/// in the first one.
[[nodiscard]] bool in_first_pid_namespace();

} // namespace vmemfs::kvm
