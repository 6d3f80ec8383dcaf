// SPDX-License-Identifier: MIT
// A domain of this host: its memory through the `qemu` or `xen` driver, everything else through libvirt.
//
// A read never calls libvirt: while the daemon is down, memory is read as before.
#pragma once

#include "driver/decorators/forwarding_driver.h"
#include "driver/driver_type.h"
#include "drivers/libvirt/domain/domain.h"
#include "drivers/libvirt/domain/domain_listener.h"
#include "drivers/libvirt/domain/domain_vcpus.h"
#include "drivers/libvirt/domain/kvm_registers.h"
#include "drivers/libvirt/domain/monitor_registers.h"
#include "drivers/libvirt/domain/xen_run_control.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace vmemfs::libvirt {

/// The drivers of a domain's process.
struct ProcessDrivers {
  std::unique_ptr<Driver> memory;
  std::unique_ptr<Driver> kvm; ///< for registers, which it can read; null: not available, or not needed
  std::string no_kvm{};        ///< what the user can do about that; empty: nothing
};

class LocalDomain final : public ForwardingDriver {
public:
  /// `passthrough`: the user allows QEMU's monitor through libvirt.
  LocalDomain(std::shared_ptr<Domain> domain, ProcessDrivers drivers, bool passthrough,
              const DriverContext& context);
  ~LocalDomain() override;
  LocalDomain(const LocalDomain&) = delete;
  LocalDomain& operator=(const LocalDomain&) = delete;

  VcpuSet vcpus() const override;
  Result<void> refresh() override;
  const VmIdentity& identity() const override { return identity_; }
  std::optional<std::chrono::milliseconds> state_delay() const override {
    return xen_control_ ? ForwardingDriver::state_delay() : listener_.state_delay();
  }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  void set_listener(VmListener* listener) override;
  RegisterReader* register_reader() override;
  RunControl* run_control() override;

private:
  void refresh_vcpus();
  [[nodiscard]] std::string describe_registers(const std::string& by_memory) const;

  const std::shared_ptr<Domain> domain_;
  const VmIdentity identity_;
  const bool passthrough_;
  const std::string no_kvm_;
  MonitorRegisters registers_{*domain_};
  std::optional<XenRunControl> xen_control_; ///< for domains of Xen
  DomainListener listener_{*domain_};
  std::optional<DomainVcpus> vcpus_; ///< if the other driver has no monitor to ask; uses listener_
  std::optional<KvmRegisters> kvm_;  ///< where QEMU's monitor must not be asked; uses vcpus_
};

} // namespace vmemfs::libvirt
