// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/monitor_registers.h"

#include "arch/x86_64/registers.h"
#include "core/text.h"
#include "drivers/libvirt/domain/domain_xml.h"
#include "drivers/qemu_protocol/hmp_registers.h"

#include <fmt/format.h>

namespace vmemfs::libvirt {

void MonitorRegisters::find_architecture() {
  const auto description =
      domain_.xml().and_then([](const std::string& text) { return parse_domain_xml(text); });
  architecture_ = description ? description->arch : std::string{};
}

bool MonitorRegisters::supported() const {
  return architecture_.empty() || architecture_ == "x86_64" || architecture_ == "i686";
}

std::string MonitorRegisters::describe() const {
  return supported() ? "read: HMP info registers through libvirt; set: not by this driver"
                     : fmt::format("none: not supported for {}, only for x86", printable(architecture_, 20));
}

const RegisterLayout& MonitorRegisters::register_layout() const { return x86_64::register_layout(); }

Result<std::vector<RegisterSet>> MonitorRegisters::read_registers(std::span<const VcpuId> vcpus) {
  const auto text = domain_.human_monitor("info registers -a");
  const auto sets = text.and_then([](const std::string& printed) { return parse_info_registers(printed); });
  return sets.and_then([&](const auto& all) { return pick_registers(all, vcpus, kOrigin, "the domain"); });
}

} // namespace vmemfs::libvirt
