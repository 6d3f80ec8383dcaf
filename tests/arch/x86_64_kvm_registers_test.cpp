// SPDX-License-Identifier: MIT
#include "arch/x86_64/kvm_registers.h"
#include "arch/x86_64/registers.h"

#include <gtest/gtest.h>

namespace vmemfs::x86_64 {
namespace {

TEST(KvmRegisters, EachIsInItsPlace) {
  kvm_regs general{};
  general.r8 = 8;
  general.rip = 0x1000;
  kvm_sregs system{};
  system.cr3 = 0x2000;
  system.efer = 0xd01;
  system.gs.base = 0xffff'8880'0000'0000;
  system.tr.selector = 0x40;
  system.idt.base = 0xfffffe0000000000;
  system.idt.limit = 0xfff;
  const RegisterSet registers = from_kvm(general, system);
  EXPECT_EQ(registers.get(Register::r8), 8U);
  EXPECT_EQ(registers.get(Register::rip), 0x1000U);
  EXPECT_EQ(registers.get(Register::cr3), 0x2000U);
  EXPECT_EQ(registers.get(Register::efer), 0xd01U);
  EXPECT_EQ(registers.get(Register::gs_base), 0xffff'8880'0000'0000U);
  EXPECT_EQ(registers.get(Register::tr_selector), 0x40U);
  EXPECT_EQ(registers.get(Register::idt_base), 0xfffffe0000000000U);
  EXPECT_EQ(registers.get(Register::idt_limit), 0xfffU);
  EXPECT_FALSE(registers.get(Register::lstar).has_value());
  EXPECT_FALSE(registers.get(Register::dr7).has_value());
  EXPECT_TRUE(is_of_kvm(Register::cr8));
  EXPECT_FALSE(is_of_kvm(Register::kernel_gs_base));
}

TEST(KvmRegisters, Attributes_AreThoseOfADescriptor) {
  kvm_sregs system{};
  system.cs = {.base = 0,
               .limit = 0xffffffff,
               .selector = 0x10,
               .type = 11,
               .present = 1,
               .dpl = 0,
               .db = 0,
               .s = 1,
               .l = 1,
               .g = 1,
               .avl = 0,
               .unusable = 0,
               .padding = 0};
  system.ldt.unusable = 1;
  const RegisterSet registers = from_kvm({}, system);
  EXPECT_EQ(registers.get(Register::cs_attributes), 0xa09bU); // as in every 64-bit kernel
  EXPECT_EQ(registers.get(Register::cs_limit), 0xffffffffU);
  EXPECT_EQ(registers.get(Register::ldt_attributes), 0x10000U);
}

TEST(KvmRegisters, GeneralOnesCanBeSet) {
  kvm_regs general{};
  EXPECT_TRUE(set_general(general, Register::rflags, 0x246));
  EXPECT_EQ(general.rflags, 0x246U);
  EXPECT_FALSE(set_general(general, Register::cr3, 1));
  EXPECT_FALSE(set_general(general, Register::cs_base, 1));
}

} // namespace
} // namespace vmemfs::x86_64
