#include "drivers/libvirt/monitor_registers.h"

#include "arch/x86_64/registers.h"
#include "drivers/qemu_text/hmp_registers.h"

#include <fmt/format.h>

namespace vmemfs::libvirt {

const RegisterLayout& MonitorRegisters::register_layout() const { return x86_64::register_layout(); }

Result<RegisterSet> MonitorRegisters::read_registers(VcpuId vcpu) {
  const auto text = domain_.human_monitor("info registers -a");
  const auto sets =
      text.and_then([](const std::string& printed) { return qemu::parse_info_registers(printed); });
  if (!sets) {
    return tl::unexpected{sets.error()};
  }
  if (vcpu.value() >= sets->size() || (*sets)[vcpu.value()].empty()) {
    return fail(ErrorKind::not_found, kOrigin, fmt::format("the domain has no vCPU {}", vcpu.value()));
  }
  return (*sets)[vcpu.value()];
}

} // namespace vmemfs::libvirt
