// SPDX-License-Identifier: MIT
#include "arch/x86_64/elf_notes.h"
#include "arch/x86_64/registers.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <sys/procfs.h>

namespace vmemfs::x86_64 {
namespace {

/// Each register has a value of its own.
RegisterSet numbered() {
  RegisterSet registers{register_layout()};
  for (std::size_t i = 0; i < kRegisterCount; ++i) {
    registers.set(RegisterIndex{i}, 0x1111'0000'0000'0000U + i);
  }
  return registers;
}

std::uint64_t number_of(Register reg) { return 0x1111'0000'0000'0000U + static_cast<std::uint64_t>(reg); }

template <typename T> T at(std::span<const std::byte> bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// The truth is the structure of the C library of an x86-64 host.
TEST(X86_64ElfNotes, Prstatus_IsThatOfLinux) {
  const Prstatus bytes = prstatus(numbered(), 7);
  ASSERT_EQ(bytes.size(), sizeof(elf_prstatus));
  elf_prstatus status{};
  std::memcpy(&status, bytes.data(), bytes.size());
  EXPECT_EQ(status.pr_pid, 7);
  EXPECT_EQ(status.pr_cursig, 0);
  user_regs_struct user{};
  std::memcpy(&user, &status.pr_reg, sizeof user);
  EXPECT_EQ(user.r15, number_of(Register::r15));
  EXPECT_EQ(user.rbp, number_of(Register::rbp));
  EXPECT_EQ(user.rbx, number_of(Register::rbx));
  EXPECT_EQ(user.r8, number_of(Register::r8));
  EXPECT_EQ(user.rax, number_of(Register::rax));
  EXPECT_EQ(user.rdi, number_of(Register::rdi));
  EXPECT_EQ(user.orig_rax, 0U);
  EXPECT_EQ(user.rip, number_of(Register::rip));
  EXPECT_EQ(user.cs, number_of(Register::cs_selector));
  EXPECT_EQ(user.eflags, number_of(Register::rflags));
  EXPECT_EQ(user.rsp, number_of(Register::rsp));
  EXPECT_EQ(user.ss, number_of(Register::ss_selector));
  EXPECT_EQ(user.fs_base, number_of(Register::fs_base));
  EXPECT_EQ(user.gs_base, number_of(Register::gs_base));
  EXPECT_EQ(user.ds, number_of(Register::ds_selector));
  EXPECT_EQ(user.es, number_of(Register::es_selector));
  EXPECT_EQ(user.fs, number_of(Register::fs_selector));
  EXPECT_EQ(user.gs, number_of(Register::gs_selector));
}

TEST(X86_64ElfNotes, QemuState_HasTheOffsetsOfQemu) {
  RegisterSet registers = numbered();
  registers.set(Register::cs_selector, 0x10);
  registers.set(Register::cs_base, 0);
  registers.set(Register::cs_limit, 0xffff'ffff);
  registers.set(Register::cs_attributes, 0xa09b);
  registers.set(Register::tr_selector, 0x40);
  registers.set(Register::tr_base, 0xfffffe0000003000);
  registers.set(Register::tr_limit, 0x4087);
  registers.set(Register::tr_attributes, 0x008b);
  registers.set(Register::ldt_attributes, 0x1'0082);
  const QemuCpuState bytes = qemu_cpu_state(registers);
  EXPECT_EQ(at<std::uint32_t>(bytes, 0), 1U);
  EXPECT_EQ(at<std::uint32_t>(bytes, 4), 440U);
  EXPECT_EQ(at<std::uint64_t>(bytes, 8), number_of(Register::rax));
  EXPECT_EQ(at<std::uint64_t>(bytes, 56), number_of(Register::rsp));
  EXPECT_EQ(at<std::uint64_t>(bytes, 64), number_of(Register::rbp));
  EXPECT_EQ(at<std::uint64_t>(bytes, 128), number_of(Register::r15));
  EXPECT_EQ(at<std::uint64_t>(bytes, 136), number_of(Register::rip));
  EXPECT_EQ(at<std::uint32_t>(bytes, 152), 0x10U);
  EXPECT_EQ(at<std::uint32_t>(bytes, 156), 0xffff'ffffU);
  EXPECT_EQ(at<std::uint32_t>(bytes, 160), 0x00af'9b00U) << "QEMU prints this for a 64-bit code segment";
  EXPECT_EQ(at<std::uint64_t>(bytes, 168), 0U);
  EXPECT_EQ(at<std::uint32_t>(bytes, 296 + 8), 0U) << "unusable";
  EXPECT_EQ(at<std::uint32_t>(bytes, 320), 0x40U);
  EXPECT_EQ(at<std::uint32_t>(bytes, 324), 0x4087U);
  EXPECT_EQ(at<std::uint32_t>(bytes, 328), 0x8b00U);
  EXPECT_EQ(at<std::uint64_t>(bytes, 336), 0xfffffe0000003000U);
  EXPECT_EQ(at<std::uint64_t>(bytes, 344 + 16), number_of(Register::gdt_base));
  EXPECT_EQ(at<std::uint64_t>(bytes, 368 + 16), number_of(Register::idt_base));
  EXPECT_EQ(at<std::uint64_t>(bytes, 392), number_of(Register::cr0));
  EXPECT_EQ(at<std::uint64_t>(bytes, 416), number_of(Register::cr3));
  EXPECT_EQ(at<std::uint64_t>(bytes, 424), number_of(Register::cr4));
  EXPECT_EQ(at<std::uint64_t>(bytes, 432), number_of(Register::kernel_gs_base));
}

TEST(X86_64ElfNotes, AbsentRegisters_AreZero) {
  const Prstatus bytes = prstatus(RegisterSet{register_layout()}, 0);
  EXPECT_EQ(std::ranges::count(bytes, std::byte{0}), static_cast<std::ptrdiff_t>(bytes.size()));
}

} // namespace
} // namespace vmemfs::x86_64
