// SPDX-License-Identifier: MIT
// Registers: read from the human monitor's text, set through the gdbstub. Both are known for x86 only.
#include "arch/x86_64/registers.h"
#include "core/text.h"
#include "driver/kit/changed_registers.h"
#include "drivers/qemu/gdbstub/gdb_registers.h"
#include "drivers/qemu/qemu_driver.h"
#include "drivers/qemu_protocol/hmp_registers.h"

#include <fmt/format.h>
#include <string_view>

namespace vmemfs::qemu {

/// If the architecture is unknown, the text decides.
bool QemuDriver::reads_registers() const {
  return monitor_ != nullptr && (identity_.architecture.empty() || identity_.architecture == "x86_64" ||
                                 identity_.architecture == "i386");
}

/// The stub of qemu-system-i386 numbers its registers differently.
bool QemuDriver::sets_registers() const { return reads_registers() && identity_.architecture != "i386"; }

std::string QemuDriver::describe_registers() const {
  if (monitor_ == nullptr) {
    return "none: " + why_no_monitor_;
  }
  if (!reads_registers()) {
    return fmt::format("none: not supported for {}, only for x86", printable(identity_.architecture, 20));
  }
  const std::string_view condition = identity_.architecture.empty() ? ", if the guest is x86" : "";
  if (!sets_registers()) {
    return fmt::format("read: HMP info registers{}; set: not supported for i386", condition);
  }
  const auto stub = describe_stub();
  return fmt::format("read: HMP info registers{}; set: {}", condition,
                     stub ? *stub : "none: " + stub.error().text);
}

const RegisterLayout& QemuDriver::register_layout() const { return x86_64::register_layout(); }

/// One command for all vCPUs. While the VM runs, QEMU stops them one after another for it.
Result<std::vector<RegisterSet>> QemuDriver::read_registers(std::span<const VcpuId> vcpus) {
  auto session = monitor_->session();
  return session.and_then([&](MonitorSession& open) { return registers_of(open, vcpus); });
}

Result<std::vector<RegisterSet>> QemuDriver::registers_of(MonitorSession& session,
                                                          std::span<const VcpuId> vcpus) {
  const auto text = session.registers_text();
  const auto sets = text.and_then([](const std::string& printed) { return parse_info_registers(printed); });
  return sets.and_then([&](const auto& all) { return pick_registers(all, vcpus, "qemu", "QEMU"); });
}

Result<void> QemuDriver::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  if (auto reachable = check_stub_is_reachable(); !reachable) {
    return reachable;
  }
  auto session = monitor_->session();
  return session.and_then([&](MonitorSession& open) {
    return registers_of(open, {&vcpu, 1}).and_then([&](const std::vector<RegisterSet>& now) {
      return set_registers(open, vcpu, changed_registers(now.front(), values),
                           qemu_.command_line.gdbstub_chardevs);
    });
  });
}

} // namespace vmemfs::qemu
