// SPDX-License-Identifier: MIT
// Registers of an x86 vCPU as KVM has them: struct kvm_regs and struct kvm_sregs of <linux/kvm.h>.
//
// Without MSRs other than EFER and without debug registers, which are not in them.
#pragma once

#include "core/register_set.h"

#include <linux/kvm.h>

namespace vmemfs::x86_64 {

[[nodiscard]] RegisterSet from_kvm(const kvm_regs& general, const kvm_sregs& system);

/// Whether from_kvm() gives this register.
[[nodiscard]] bool is_of_kvm(RegisterIndex reg);

/// Sets one of the general registers, rip and rflags. False: `reg` is none of them.
[[nodiscard]] bool set_general(kvm_regs& general, RegisterIndex reg, std::uint64_t value);

} // namespace vmemfs::x86_64
