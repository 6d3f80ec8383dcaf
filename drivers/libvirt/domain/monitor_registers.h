// SPDX-License-Identifier: MIT
// Registers by QEMU's human monitor, through libvirt. Only where the user agreed to that.
#pragma once

#include "driver/driver.h"
#include "drivers/libvirt/domain/domain.h"
#include "drivers/qemu_protocol/hmp_registers.h"

#include <string>

namespace vmemfs::libvirt {

inline constexpr std::string_view kHowToConsent =
    "passthrough=on lets vmemfs ask QEMU through libvirt, which marks the domain as tainted (custom-monitor)";

/// Thread-safe, except that the architecture is asked for while attaching.
class MonitorRegisters final : public RegisterReader {
public:
  explicit MonitorRegisters(Domain& domain) : domain_{domain} {}

  /// Only x86 is supported. If the architecture cannot be found, each answer of QEMU decides.
  void find_architecture();
  [[nodiscard]] bool supported() const;
  [[nodiscard]] std::string describe() const; ///< for AccessReport

  const RegisterLayout& register_layout() const override;
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  [[nodiscard]] bool usually_has(RegisterIndex reg) const override { return has_register(reg); }

private:
  Domain& domain_;
  std::string architecture_; ///< as libvirt names it; empty: unknown
};

} // namespace vmemfs::libvirt
