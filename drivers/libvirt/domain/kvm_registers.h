// SPDX-License-Identifier: MIT
// Registers of a domain of this host by the driver `kvm`, which asks KVM and neither libvirt nor QEMU.
#pragma once

#include "driver/driver.h"

#include <functional>
#include <memory>

namespace vmemfs::libvirt {

/// Thread-safe. While libvirt or QEMU has paused the domain its vCPUs are not in KVM, so that there are none:
/// busy, with the remedy.
class KvmRegisters final : public RegisterReader {
public:
  /// `kvm` reaches the VM of the domain's process, and can read registers. `vcpus`: those of the domain, as
  /// libvirt numbers them; asked for with each read.
  KvmRegisters(std::unique_ptr<Driver> kvm, std::function<VcpuSet()> vcpus)
      : kvm_{std::move(kvm)}, vcpus_{std::move(vcpus)} {}

  const RegisterLayout& register_layout() const override;
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  [[nodiscard]] bool usually_has(RegisterIndex reg) const override;
  [[nodiscard]] std::string describe() const; ///< for AccessReport

private:
  const std::unique_ptr<Driver> kvm_;
  const std::function<VcpuSet()> vcpus_;
};

/// What KVM calls each of `wanted`. KVM has numbers of its own (on x86 the APIC ID), which grow in the same
/// order as libvirt's. not_found: the domain has no such vCPU. busy: a vCPU comes or goes, so that the two do
/// not have the same number of them.
[[nodiscard]] Result<std::vector<VcpuId>> kvm_numbers(std::span<const VcpuId> wanted, const VcpuSet& domain,
                                                      const VcpuSet& kvm);

} // namespace vmemfs::libvirt
