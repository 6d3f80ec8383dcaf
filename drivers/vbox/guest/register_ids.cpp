// SPDX-License-Identifier: MIT
#include "drivers/vbox/guest/register_ids.h"

#include <algorithm>
#include <array>
#include <limits>

namespace vmemfs::vbox {
namespace {

using x86_64::Register;

constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kMaxSelector = 0xffff;

constexpr RegisterId general(Register reg, std::uint32_t id) { return {reg, false, id, kAny, true, true}; }
constexpr RegisterId system(Register reg, std::uint32_t id) { return {reg, false, id, kAny, true, false}; }
constexpr RegisterId selector(Register reg, std::uint32_t id) {
  return {reg, false, id, kMaxSelector, false, false};
}
constexpr RegisterId table(Register reg, std::uint32_t id) { return {reg, false, id, kAny, false, false}; }
constexpr RegisterId msr(Register reg, std::uint32_t number) {
  return {reg, true, number, kAny, true, false};
}
constexpr RegisterId msr_to_read(Register reg, std::uint32_t number) {
  return {reg, true, number, kAny, false, false};
}

constexpr std::array kIds{
    general(Register::rax, 0),
    general(Register::rbx, 1),
    general(Register::rcx, 2),
    general(Register::rdx, 3),
    general(Register::r8, 4),
    general(Register::r9, 5),
    general(Register::r10, 6),
    general(Register::r11, 7),
    general(Register::r12, 8),
    general(Register::r13, 9),
    general(Register::r14, 10),
    general(Register::r15, 11),
    general(Register::rsp, 12),
    general(Register::rbp, 13),
    general(Register::rsi, 14),
    general(Register::rdi, 15),
    general(Register::rip, 16),
    system(Register::dr0, 17),
    system(Register::dr1, 18),
    system(Register::dr2, 19),
    system(Register::dr3, 20),
    system(Register::dr6, 21),
    system(Register::dr7, 22),
    selector(Register::cs_selector, 29),
    selector(Register::ds_selector, 30),
    selector(Register::es_selector, 31),
    selector(Register::fs_selector, 32),
    selector(Register::gs_selector, 33),
    selector(Register::ss_selector, 34),
    system(Register::rflags, 35),
    table(Register::gdt_base, 37),
    table(Register::gdt_limit, 38),
    table(Register::idt_base, 39),
    table(Register::idt_limit, 40),
    system(Register::cr0, 41),
    system(Register::cr2, 42),
    system(Register::cr3, 43),
    system(Register::cr4, 44),
    system(Register::cr8, 45),
    selector(Register::ldt_selector, 46),
    table(Register::ldt_base, 47),
    table(Register::ldt_limit, 48),
    selector(Register::tr_selector, 49),
    msr(Register::efer, 0xC0000080),
    msr_to_read(Register::star, 0xC0000081),
    msr_to_read(Register::lstar, 0xC0000082),
    msr_to_read(Register::cstar, 0xC0000083),
    msr_to_read(Register::sfmask, 0xC0000084),
    msr(Register::fs_base, 0xC0000100),
    msr(Register::gs_base, 0xC0000101),
    msr(Register::kernel_gs_base, 0xC0000102),
    msr_to_read(Register::sysenter_cs, 0x174),
    msr_to_read(Register::sysenter_esp, 0x175),
    msr_to_read(Register::sysenter_eip, 0x176),
};

} // namespace

std::span<const RegisterId> register_ids() { return kIds; }

const RegisterId* find_register(RegisterIndex reg) {
  const auto* const found =
      std::ranges::find_if(kIds, [&](const RegisterId& id) { return RegisterIndex{id.reg} == reg; });
  return found == kIds.end() ? nullptr : found;
}

} // namespace vmemfs::vbox
