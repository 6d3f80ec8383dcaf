// SPDX-License-Identifier: MIT
// Checks of the VMs of KVM on this host, for `vmemfs check`.
#pragma once

#include "driver/driver_runtime.h"
#include "driver/host_check.h"

#include <memory>
#include <vector>

namespace vmemfs::kvm {

/// Whether the BPF program was loaded, and each VM that it lists, but for QEMUs: their driver tells more of
/// them. Opens no VM. Thread-safe.
[[nodiscard]] std::vector<HostCheck> check_vms(const std::shared_ptr<DriverRuntime>& runtime);

} // namespace vmemfs::kvm
