// SPDX-License-Identifier: MIT
#include "drivers/xen/registers/hvm_registers.h"

#include "arch/x86_64/registers.h"
#include "drivers/xen/registers/hvm_context.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <type_traits>
#include <variant>
#include <vector>

namespace vmemfs::xen {
namespace {

using x86_64::Register;
using x86_64::SegmentPart;

using Wide = std::uint64_t hvm_hw_cpu::*;
using Narrow = std::uint32_t hvm_hw_cpu::*;

/// Where a register stands in Xen's record.
struct Place {
  Register reg;
  std::variant<Wide, Narrow> member;
};

constexpr std::array kPlaces = std::to_array<Place>({
    {Register::rax, &hvm_hw_cpu::rax},
    {Register::rbx, &hvm_hw_cpu::rbx},
    {Register::rcx, &hvm_hw_cpu::rcx},
    {Register::rdx, &hvm_hw_cpu::rdx},
    {Register::rsi, &hvm_hw_cpu::rsi},
    {Register::rdi, &hvm_hw_cpu::rdi},
    {Register::rbp, &hvm_hw_cpu::rbp},
    {Register::rsp, &hvm_hw_cpu::rsp},
    {Register::r8, &hvm_hw_cpu::r8},
    {Register::r9, &hvm_hw_cpu::r9},
    {Register::r10, &hvm_hw_cpu::r10},
    {Register::r11, &hvm_hw_cpu::r11},
    {Register::r12, &hvm_hw_cpu::r12},
    {Register::r13, &hvm_hw_cpu::r13},
    {Register::r14, &hvm_hw_cpu::r14},
    {Register::r15, &hvm_hw_cpu::r15},
    {Register::rip, &hvm_hw_cpu::rip},
    {Register::rflags, &hvm_hw_cpu::rflags},
    {Register::cs_selector, &hvm_hw_cpu::cs_sel},
    {Register::cs_base, &hvm_hw_cpu::cs_base},
    {Register::cs_limit, &hvm_hw_cpu::cs_limit},
    {Register::cs_attributes, &hvm_hw_cpu::cs_arbytes},
    {Register::ss_selector, &hvm_hw_cpu::ss_sel},
    {Register::ss_base, &hvm_hw_cpu::ss_base},
    {Register::ss_limit, &hvm_hw_cpu::ss_limit},
    {Register::ss_attributes, &hvm_hw_cpu::ss_arbytes},
    {Register::ds_selector, &hvm_hw_cpu::ds_sel},
    {Register::ds_base, &hvm_hw_cpu::ds_base},
    {Register::ds_limit, &hvm_hw_cpu::ds_limit},
    {Register::ds_attributes, &hvm_hw_cpu::ds_arbytes},
    {Register::es_selector, &hvm_hw_cpu::es_sel},
    {Register::es_base, &hvm_hw_cpu::es_base},
    {Register::es_limit, &hvm_hw_cpu::es_limit},
    {Register::es_attributes, &hvm_hw_cpu::es_arbytes},
    {Register::fs_selector, &hvm_hw_cpu::fs_sel},
    {Register::fs_base, &hvm_hw_cpu::fs_base},
    {Register::fs_limit, &hvm_hw_cpu::fs_limit},
    {Register::fs_attributes, &hvm_hw_cpu::fs_arbytes},
    {Register::gs_selector, &hvm_hw_cpu::gs_sel},
    {Register::gs_base, &hvm_hw_cpu::gs_base},
    {Register::gs_limit, &hvm_hw_cpu::gs_limit},
    {Register::gs_attributes, &hvm_hw_cpu::gs_arbytes},
    {Register::ldt_selector, &hvm_hw_cpu::ldtr_sel},
    {Register::ldt_base, &hvm_hw_cpu::ldtr_base},
    {Register::ldt_limit, &hvm_hw_cpu::ldtr_limit},
    {Register::ldt_attributes, &hvm_hw_cpu::ldtr_arbytes},
    {Register::tr_selector, &hvm_hw_cpu::tr_sel},
    {Register::tr_base, &hvm_hw_cpu::tr_base},
    {Register::tr_limit, &hvm_hw_cpu::tr_limit},
    {Register::tr_attributes, &hvm_hw_cpu::tr_arbytes},
    {Register::gdt_base, &hvm_hw_cpu::gdtr_base},
    {Register::gdt_limit, &hvm_hw_cpu::gdtr_limit},
    {Register::idt_base, &hvm_hw_cpu::idtr_base},
    {Register::idt_limit, &hvm_hw_cpu::idtr_limit},
    {Register::cr0, &hvm_hw_cpu::cr0},
    {Register::cr2, &hvm_hw_cpu::cr2},
    {Register::cr3, &hvm_hw_cpu::cr3},
    {Register::cr4, &hvm_hw_cpu::cr4},
    {Register::dr0, &hvm_hw_cpu::dr0},
    {Register::dr1, &hvm_hw_cpu::dr1},
    {Register::dr2, &hvm_hw_cpu::dr2},
    {Register::dr3, &hvm_hw_cpu::dr3},
    {Register::dr6, &hvm_hw_cpu::dr6},
    {Register::dr7, &hvm_hw_cpu::dr7},
    {Register::efer, &hvm_hw_cpu::msr_efer},
    {Register::star, &hvm_hw_cpu::msr_star},
    {Register::lstar, &hvm_hw_cpu::msr_lstar},
    {Register::cstar, &hvm_hw_cpu::msr_cstar},
    {Register::sfmask, &hvm_hw_cpu::msr_syscall_mask},
    {Register::kernel_gs_base, &hvm_hw_cpu::shadow_gs},
    {Register::sysenter_cs, &hvm_hw_cpu::sysenter_cs},
    {Register::sysenter_esp, &hvm_hw_cpu::sysenter_esp},
    {Register::sysenter_eip, &hvm_hw_cpu::sysenter_eip},
});

bool is_attributes(Register reg) {
  const auto first = static_cast<unsigned>(Register::cs_selector);
  const auto last = static_cast<unsigned>(Register::tr_attributes);
  const auto number = static_cast<unsigned>(reg);
  constexpr unsigned kParts = 4;
  return number >= first && number <= last &&
         (number - first) % kParts == static_cast<unsigned>(SegmentPart::attributes);
}

// Xen packs the attributes into 12 bits; ours have a gap where a descriptor has four bits of its limit.
constexpr std::uint64_t kUnusable = 0x10000;
constexpr std::uint64_t kPresent = 0x80;

std::uint64_t unpack_attributes(std::uint64_t packed) {
  const std::uint64_t attributes = (packed & 0xffU) | ((packed & 0xf00U) << 4U);
  return (packed & kPresent) != 0 ? attributes : attributes | kUnusable;
}

std::uint64_t pack_attributes(std::uint64_t attributes) {
  const std::uint64_t packed = (attributes & 0xffU) | ((attributes >> 4U) & 0xf00U);
  return (attributes & kUnusable) != 0 ? packed & ~kPresent : packed;
}

std::uint64_t value_at(const hvm_hw_cpu& cpu, const Place& place) {
  const std::uint64_t value =
      std::visit([&](auto member) { return static_cast<std::uint64_t>(cpu.*member); }, place.member);
  return is_attributes(place.reg) ? unpack_attributes(value) : value;
}

Result<void> set_value(hvm_hw_cpu& cpu, const RegisterValue& wanted) {
  const auto* const place = std::ranges::find(kPlaces, wanted.reg, &Place::reg);
  if (place == kPlaces.end()) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("{} cannot be set", x86_64::register_layout().name(wanted.reg)));
  }
  const std::uint64_t value = is_attributes(place->reg) ? pack_attributes(wanted.value) : wanted.value;
  return std::visit(
      [&](auto member) -> Result<void> {
        using Value = std::remove_reference_t<decltype(cpu.*member)>;
        if (static_cast<Value>(value) != value) {
          return fail(ErrorKind::invalid, kOrigin,
                      fmt::format("{} has {} bits, {:#x} does not fit", to_string(place->reg),
                                  8 * sizeof(Value), value));
        }
        cpu.*member = static_cast<Value>(value);
        return {};
      },
      place->member);
}

/// The task priority of the local APIC, whose upper half cr8 is.
std::uint64_t cr8_of(const hvm_hw_lapic_regs& apic) {
  constexpr std::size_t kTaskPriority = 0x80;
  return static_cast<std::uint64_t>(apic.data[kTaskPriority]) >> 4U;
}

} // namespace

Result<RegisterSet> read_hvm_registers(xc_interface* control, std::uint32_t domain, VcpuId vcpu) {
  const auto cpu = read_record<hvm_hw_cpu>(control, domain, vcpu);
  if (!cpu) {
    return tl::unexpected{cpu.error()};
  }
  RegisterSet registers{x86_64::register_layout()};
  for (const Place& place : kPlaces) {
    registers.set(place.reg, value_at(*cpu, place));
  }
  if (const auto apic = read_record<hvm_hw_lapic_regs>(control, domain, vcpu)) {
    registers.set(Register::cr8, cr8_of(*apic));
  }
  if (const auto mtrr = read_record<hvm_hw_mtrr>(control, domain, vcpu)) {
    registers.set(Register::pat, mtrr->msr_pat_cr);
  }
  return registers;
}

Result<void> write_hvm_registers(xc_interface* control, std::uint32_t domain, VcpuId vcpu,
                                 std::span<const RegisterValue> values) {
  auto cpu = read_record<hvm_hw_cpu>(control, domain, vcpu);
  if (!cpu) {
    return tl::unexpected{cpu.error()};
  }
  for (const RegisterValue& value : values) {
    if (auto set = set_value(*cpu, value); !set) {
      return set;
    }
  }
  return write_cpu_record(control, domain, vcpu, *cpu);
}

} // namespace vmemfs::xen
