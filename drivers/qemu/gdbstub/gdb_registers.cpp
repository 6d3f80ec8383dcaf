// SPDX-License-Identifier: MIT
#include "drivers/qemu/gdbstub/gdb_registers.h"

#include "arch/x86_64/registers.h"
#include "core/text.h"
#include "drivers/qemu/gdbstub/gdb_visit.h"
#include "drivers/qemu_protocol/gdb_packets.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::qemu {
namespace {

using x86_64::Register;

constexpr std::string_view kOrigin = "gdbstub";

/// A register as the stub numbers it.
struct StubRegister {
  Register reg;
  std::uint8_t number;
  std::uint8_t bits; ///< significant bits; up to 32 are sent in 4 bytes, more in 8
};

constexpr std::array kStubRegisters = std::to_array<StubRegister>({
    {Register::rax, 0, 64},          {Register::rbx, 1, 64},          {Register::rcx, 2, 64},
    {Register::rdx, 3, 64},          {Register::rsi, 4, 64},          {Register::rdi, 5, 64},
    {Register::rbp, 6, 64},          {Register::rsp, 7, 64},          {Register::r8, 8, 64},
    {Register::r9, 9, 64},           {Register::r10, 10, 64},         {Register::r11, 11, 64},
    {Register::r12, 12, 64},         {Register::r13, 13, 64},         {Register::r14, 14, 64},
    {Register::r15, 15, 64},         {Register::rip, 16, 64},         {Register::rflags, 17, 32},
    {Register::cs_selector, 18, 16}, {Register::ss_selector, 19, 16}, {Register::ds_selector, 20, 16},
    {Register::es_selector, 21, 16}, {Register::fs_selector, 22, 16}, {Register::gs_selector, 23, 16},
    {Register::fs_base, 24, 64},     {Register::gs_base, 25, 64},     {Register::kernel_gs_base, 26, 64},
    {Register::cr0, 27, 64},         {Register::cr2, 28, 64},         {Register::cr3, 29, 64},
    {Register::cr4, 30, 64},         {Register::cr8, 31, 64},         {Register::efer, 32, 64},
});

const StubRegister* stub_register(RegisterIndex reg) {
  const auto found = std::ranges::find(kStubRegisters, reg, &StubRegister::reg);
  return found == kStubRegisters.end() ? nullptr : &*found;
}

struct Assignment {
  const StubRegister* reg;
  std::uint64_t value;
};

/// The values to send, each register once. Selectors come first: loading one changes the segment's base.
Result<std::vector<Assignment>> plan(std::span<const RegisterValue> values) {
  std::vector<Assignment> assignments;
  for (const auto& [reg, value] : values) {
    const StubRegister* known = stub_register(reg);
    if (known->bits < 64 && value >> known->bits != 0) {
      return fail(
          ErrorKind::invalid, kOrigin,
          fmt::format("{} has {} bits, {:#x} does not fit", to_string(known->reg), known->bits, value));
    }
    std::erase_if(assignments, [&](const Assignment& earlier) { return earlier.reg == known; });
    assignments.push_back({known, value});
  }
  std::ranges::stable_partition(assignments, [](const Assignment& item) { return item.reg->bits == 16; });
  return assignments;
}

GdbScript write_script(VcpuId vcpu, std::span<const Assignment> assignments) {
  GdbScript script;
  script.add("qXfer:features:read:target.xml:0,400"); // required before the stub serves single registers
  script.add(fmt::format("Hg{:x}", vcpu.value() + 1));
  // Reads all registers for the side effect: only this makes QEMU fetch them from KVM. Without it a P changes
  // QEMU's stale copy, p confirms that, and the vCPU never gets the value (seen with 7.2).
  script.add("g");
  for (const auto& [reg, value] : assignments) {
    const std::size_t bytes = reg->bits > 32 ? 8 : 4;
    script.add(fmt::format("P{:x}={}", reg->number, gdb_number(value, bytes)));
  }
  for (const auto& item : assignments) {
    script.add(fmt::format("p{:x}", item.reg->number));
  }
  return script;
}

Result<void> judge_value(const Assignment& item, std::string_view set, std::string_view read_back) {
  const std::string_view name = to_string(item.reg->reg);
  const auto value = parse_gdb_number(read_back);
  if (set != "OK" || !value) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("QEMU's gdbstub refused to set {}: '{}', '{}'", name, printable(set),
                            printable(read_back)));
  }
  if (*value != item.value) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("QEMU did not accept {:#x} for {}, which is now {:#x}: outside 64-bit code it "
                            "accepts 32 bits and no r8 to r15, and a selector only with a descriptor",
                            item.value, name, *value));
  }
  return {};
}

constexpr std::size_t kShortestRegisterDump = 16; ///< digits; an error is "E" and two digits

/// Checks the replies, which are in the order of write_script().
Result<void> judge(std::span<const std::string> replies, std::span<const Assignment> assignments) {
  constexpr std::size_t kPreamble = 3;
  if (!replies[0].starts_with('l') && !replies[0].starts_with('m')) {
    return fail(ErrorKind::unsupported, kOrigin, "QEMU's gdbstub does not describe its registers");
  }
  if (replies[1] != "OK") {
    return fail(ErrorKind::source_failed, kOrigin, "QEMU's gdbstub has no such vCPU");
  }
  if (replies[2].size() < kShortestRegisterDump) {
    return fail(ErrorKind::source_failed, kOrigin, "QEMU's gdbstub cannot read the registers of that vCPU");
  }
  for (std::size_t i = 0; i < assignments.size(); ++i) {
    const std::string& set = replies[kPreamble + i];
    const std::string& read_back = replies[kPreamble + assignments.size() + i];
    if (auto judged = judge_value(assignments[i], set, read_back); !judged) {
      return judged;
    }
  }
  return {};
}

/// Checks before anything is changed: the guest's architecture is supported, and the vCPU exists.
Result<void> check_target(MonitorSession& session, VcpuId vcpu) {
  const auto architecture = session.architecture();
  if (!architecture) {
    return tl::unexpected{architecture.error()};
  }
  if (*architecture != "x86_64") {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("cannot set registers of {} guests: only x86 guests are supported",
                            printable(*architecture)));
  }
  const auto vcpus = session.vcpus();
  if (!vcpus) {
    return tl::unexpected{vcpus.error()};
  }
  if (std::ranges::find(*vcpus, vcpu, &QemuVcpu::id) == vcpus->end()) {
    return fail(ErrorKind::invalid, kOrigin, fmt::format("the VM has no vCPU {}", vcpu.value()));
  }
  return {};
}

Result<void> visit_and_judge(MonitorSession& session, VcpuId vcpu, std::span<const Assignment> assignments,
                             std::span<const std::string> user_chardevs) {
  const GdbScript script = write_script(vcpu, assignments);
  const GdbVisit visit = visit_gdbstub(session, script, user_chardevs);
  if (visit.replies.size() == script.packets()) {
    if (auto judged = judge(visit.replies, assignments); !judged) {
      return judged;
    }
  }
  return visit.failure ? tl::unexpected{*visit.failure} : Result<void>{};
}

} // namespace

Result<void> check_settable(std::span<const RegisterValue> values) {
  std::string names;
  for (const auto& [reg, value] : values) {
    if (stub_register(reg) == nullptr) {
      names += names.empty() ? "" : ", ";
      names += x86_64::register_layout().name(reg);
    }
  }
  if (names.empty()) {
    return {};
  }
  return fail(
      ErrorKind::unsupported, kOrigin,
      fmt::format("QEMU cannot set {}; it can set the general registers, rip, rflags, selectors, fs.base, "
                  "gs.base, kernel_gs_base, cr0 to cr8 and efer",
                  names));
}

Result<void> set_registers(MonitorSession& session, VcpuId vcpu, std::span<const RegisterValue> values,
                           std::span<const std::string> user_chardevs) {
  if (auto settable = check_settable(values); !settable) {
    return settable;
  }
  const auto assignments = plan(values);
  if (!assignments) {
    return tl::unexpected{assignments.error()};
  }
  if (assignments->empty()) {
    return {};
  }
  return check_target(session, vcpu).and_then([&] {
    return visit_and_judge(session, vcpu, *assignments, user_chardevs);
  });
}

} // namespace vmemfs::qemu
