// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/target/register_plan.h"

#include "arch/aarch64/registers.h"
#include "arch/riscv64/registers.h"
#include "arch/x86_64/registers.h"
#include "core/text.h"
#include "drivers/qemu_protocol/gdb_packets.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::uint32_t kMaxBits = 64;

using Alias = std::pair<std::string_view, std::string_view>;

/// Names of GDB and of QEMU for what the layout calls otherwise; of i386 the halves have the registers'
/// names.
constexpr std::array kX86Names = std::to_array<Alias>({
    {"eflags", "rflags"},
    {"cs", "cs.selector"},
    {"ss", "ss.selector"},
    {"ds", "ds.selector"},
    {"es", "es.selector"},
    {"fs", "fs.selector"},
    {"gs", "gs.selector"},
    {"fs_base", "fs.base"},
    {"gs_base", "gs.base"},
    {"eax", "rax"},
    {"ebx", "rbx"},
    {"ecx", "rcx"},
    {"edx", "rdx"},
    {"esi", "rsi"},
    {"edi", "rdi"},
    {"ebp", "rbp"},
    {"esp", "rsp"},
    {"eip", "rip"},
    {"k_gs_base", "kernel_gs_base"},
});

std::optional<RegisterIndex> find_x86(std::string_view name) {
  const auto* const alias = std::ranges::find(kX86Names, name, &Alias::first);
  return x86_64::register_layout().find(alias != kX86Names.end() ? alias->second : name);
}

/// QEMU writes system registers in capitals, and some without the suffix.
std::optional<RegisterIndex> find_aarch64(std::string_view name) {
  std::string lower{name};
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const RegisterLayout& layout = aarch64::register_layout();
  const auto found = layout.find(lower);
  return found ? found : layout.find(lower + "_el1");
}

/// GDB takes the names of the ABI and, of x0 to x31 and f0 to f31, those with numbers too.
std::optional<RegisterIndex> find_riscv64(std::string_view name) {
  constexpr std::size_t kNumbered = 32; // of each kind
  if (name == "fp") {
    return riscv64::Register::s0;
  }
  if (name.starts_with('x') || name.starts_with('f')) {
    std::size_t number = 0;
    const char* const end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + 1, end, number);
    if (parsed.ec == std::errc{} && parsed.ptr == end && number < kNumbered) {
      const RegisterIndex first = name.front() == 'x' ? riscv64::Register::zero : riscv64::Register::ft0;
      return RegisterIndex{first.value() + number};
    }
  }
  return riscv64::register_layout().find(name);
}

struct Architecture {
  const RegisterLayout* layout;
  std::optional<RegisterIndex> (*find)(std::string_view name);
};

std::optional<Architecture> architecture_of(std::string_view machine) {
  if (machine == "x86_64" || machine == "i386") {
    return Architecture{&x86_64::register_layout(), &find_x86};
  }
  if (machine == "aarch64") {
    return Architecture{&aarch64::register_layout(), &find_aarch64};
  }
  if (machine == "riscv64") {
    return Architecture{&riscv64::register_layout(), &find_riscv64};
  }
  return std::nullopt;
}

} // namespace

Result<RegisterPlan> plan_registers(const TargetDescription& description) {
  const auto architecture = architecture_of(machine_of(description.architecture));
  if (!architecture) {
    return fail(ErrorKind::unsupported, kOrigin,
                description.architecture.empty()
                    ? std::string{"the server does not name its target's architecture"}
                    : fmt::format("not supported for {}, only for x86, aarch64 and riscv64",
                                  printable(description.architecture, 20)));
  }
  RegisterPlan plan{architecture->layout, {}};
  std::size_t offset = 0;
  for (const TargetRegister& reg : description.registers) {
    const std::size_t digits = reg.bits / 4;
    const auto index = architecture->find(reg.name);
    const bool known =
        index && reg.bits <= kMaxBits &&
        std::ranges::find(plan.registers, *index, &PlannedRegister::reg) == plan.registers.end();
    if (known) {
      plan.registers.push_back({*index, reg.number, offset, digits});
    }
    offset += digits;
  }
  if (plan.registers.empty()) {
    return fail(ErrorKind::unsupported, kOrigin, "the server's target description has none of them");
  }
  return plan;
}

void take_register(RegisterSet& registers, const PlannedRegister& planned, std::string_view digits) {
  if (digits.size() != planned.digits) {
    return;
  }
  if (const auto value = parse_gdb_number(digits)) {
    registers.set(planned.reg, *value);
  }
}

} // namespace vmemfs::gdbstub
