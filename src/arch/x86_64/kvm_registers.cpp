// SPDX-License-Identifier: MIT
#include "arch/x86_64/kvm_registers.h"

#include "arch/x86_64/registers.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace vmemfs::x86_64 {
namespace {

struct GeneralField {
  Register reg;
  __u64 kvm_regs::*value;
};

constexpr GeneralField kGeneral[] = {
    {Register::rax, &kvm_regs::rax}, {Register::rbx, &kvm_regs::rbx}, {Register::rcx, &kvm_regs::rcx},
    {Register::rdx, &kvm_regs::rdx}, {Register::rsi, &kvm_regs::rsi}, {Register::rdi, &kvm_regs::rdi},
    {Register::rbp, &kvm_regs::rbp}, {Register::rsp, &kvm_regs::rsp}, {Register::r8, &kvm_regs::r8},
    {Register::r9, &kvm_regs::r9},   {Register::r10, &kvm_regs::r10}, {Register::r11, &kvm_regs::r11},
    {Register::r12, &kvm_regs::r12}, {Register::r13, &kvm_regs::r13}, {Register::r14, &kvm_regs::r14},
    {Register::r15, &kvm_regs::r15}, {Register::rip, &kvm_regs::rip}, {Register::rflags, &kvm_regs::rflags},
};

struct ControlField {
  Register reg;
  __u64 kvm_sregs::*value;
};

constexpr ControlField kControl[] = {
    {Register::cr0, &kvm_sregs::cr0}, {Register::cr2, &kvm_sregs::cr2}, {Register::cr3, &kvm_sregs::cr3},
    {Register::cr4, &kvm_sregs::cr4}, {Register::cr8, &kvm_sregs::cr8}, {Register::efer, &kvm_sregs::efer},
};

struct SegmentField {
  Segment segment;
  kvm_segment kvm_sregs::*value;
};

constexpr SegmentField kSegments[] = {
    {Segment::cs, &kvm_sregs::cs}, {Segment::ss, &kvm_sregs::ss},   {Segment::ds, &kvm_sregs::ds},
    {Segment::es, &kvm_sregs::es}, {Segment::fs, &kvm_sregs::fs},   {Segment::gs, &kvm_sregs::gs},
    {Segment::tr, &kvm_sregs::tr}, {Segment::ldt, &kvm_sregs::ldt},
};

/// See SegmentPart::attributes.
std::uint64_t attributes(const kvm_segment& segment) {
  const auto bit = [](unsigned value, unsigned at) { return std::uint64_t{value & 1U} << at; };
  return (segment.type & 0xfU) | bit(segment.s, 4) | std::uint64_t{segment.dpl & 3U} << 5U |
         bit(segment.present, 7) | bit(segment.avl, 12) | bit(segment.l, 13) | bit(segment.db, 14) |
         bit(segment.g, 15) | bit(segment.unusable, 16);
}

} // namespace

RegisterSet from_kvm(const kvm_regs& general, const kvm_sregs& system) {
  RegisterSet registers{register_layout()};
  for (const GeneralField& field : kGeneral) {
    registers.set(field.reg, general.*field.value);
  }
  for (const ControlField& field : kControl) {
    registers.set(field.reg, system.*field.value);
  }
  for (const SegmentField& field : kSegments) {
    const kvm_segment& segment = system.*field.value;
    registers.set(segment_register(field.segment, SegmentPart::selector), segment.selector);
    registers.set(segment_register(field.segment, SegmentPart::base), segment.base);
    registers.set(segment_register(field.segment, SegmentPart::limit), segment.limit);
    registers.set(segment_register(field.segment, SegmentPart::attributes), attributes(segment));
  }
  registers.set(Register::gdt_base, system.gdt.base);
  registers.set(Register::gdt_limit, system.gdt.limit);
  registers.set(Register::idt_base, system.idt.base);
  registers.set(Register::idt_limit, system.idt.limit);
  return registers;
}

bool is_of_kvm(RegisterIndex reg) {
  static const RegisterSet kAll = from_kvm({}, {});
  return kAll.get(reg).has_value();
}

bool set_general(kvm_regs& general, RegisterIndex reg, std::uint64_t value) {
  const auto* const field =
      std::ranges::find(kGeneral, reg, [](const GeneralField& one) { return RegisterIndex{one.reg}; });
  if (field == std::end(kGeneral)) {
    return false;
  }
  general.*field->value = value;
  return true;
}

} // namespace vmemfs::x86_64
