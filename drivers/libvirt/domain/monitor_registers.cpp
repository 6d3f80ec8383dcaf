// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/monitor_registers.h"

#include "arch/x86_64/registers.h"
#include "drivers/qemu_protocol/hmp_registers.h"

namespace vmemfs::libvirt {

const RegisterLayout& MonitorRegisters::register_layout() const { return x86_64::register_layout(); }

Result<std::vector<RegisterSet>> MonitorRegisters::read_registers(std::span<const VcpuId> vcpus) {
  const auto text = domain_.human_monitor("info registers -a");
  const auto sets = text.and_then([](const std::string& printed) { return parse_info_registers(printed); });
  return sets.and_then([&](const auto& all) { return pick_registers(all, vcpus, kOrigin, "the domain"); });
}

} // namespace vmemfs::libvirt
