// SPDX-License-Identifier: MIT
// State that all VMs of the driver `kvm` share within one mount: the loaded BPF program.
#pragma once

#include "core/error.h"
#include "driver/driver_runtime.h"
#include "drivers/kvm/walk/vm_walk.h"

#include <memory>

namespace vmemfs::kvm {

/// Immutable, thus thread-safe.
class KvmRuntime final : public DriverRuntime {
public:
  /// Loads the program; a failure is kept.
  KvmRuntime();

  /// The program, or why it could not be loaded: permission or unsupported, with the remedy.
  [[nodiscard]] Result<const VmWalk*> walk() const;

private:
  const Result<std::unique_ptr<VmWalk>> walk_;
};

/// The mount's; a new one outside of a mount.
[[nodiscard]] std::shared_ptr<const KvmRuntime> kvm_runtime(const std::shared_ptr<DriverRuntime>& runtime);

} // namespace vmemfs::kvm
