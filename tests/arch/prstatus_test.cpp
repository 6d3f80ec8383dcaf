// SPDX-License-Identifier: MIT
// NT_PRSTATUS of aarch64 and riscv64. The truth are the structures of Linux for these architectures, written
// out here: <asm/ptrace.h> of a host has those of its own.
#include "arch/aarch64/elf_notes.h"
#include "arch/aarch64/registers.h"
#include "arch/riscv64/elf_notes.h"
#include "arch/riscv64/registers.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <optional>
#include <tuple>

namespace vmemfs {
namespace {

/// include/linux/elfcore.h, with 64-bit longs.
template <typename Registers> struct ElfPrstatus {
  std::int32_t si_signo, si_code, si_errno;
  std::int16_t cursig;
  std::uint64_t sigpend, sighold;
  std::int32_t pid, ppid, pgrp, sid;
  std::array<std::uint64_t, 8> times;
  Registers reg;
  std::int32_t fpvalid;
};

/// user_pt_regs of arch/arm64/include/uapi/asm/ptrace.h.
struct Aarch64Registers {
  std::array<std::uint64_t, 31> regs;
  std::uint64_t sp, pc, pstate;
};

/// user_regs_struct of arch/riscv/include/uapi/asm/ptrace.h.
struct Riscv64Registers {
  std::uint64_t pc, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7, s2, s3, s4, s5, s6,
      s7, s8, s9, s10, s11, t3, t4, t5, t6;
};

/// Each register has a value of its own.
RegisterSet numbered(const RegisterLayout& layout) {
  RegisterSet registers{layout};
  for (std::size_t i = 0; i < layout.size(); ++i) {
    registers.set(RegisterIndex{i}, 0x1111'0000'0000'0000U + i);
  }
  return registers;
}

template <typename T, typename Bytes> T as(const Bytes& bytes) {
  static_assert(sizeof(T) == std::tuple_size_v<Bytes>);
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

TEST(Prstatus, OfAarch64_IsThatOfLinux) {
  using aarch64::Register;
  const RegisterSet registers = numbered(aarch64::register_layout());
  const auto bytes = aarch64::prstatus(registers, 7);
  const auto status = as<ElfPrstatus<Aarch64Registers>>(bytes);
  EXPECT_EQ(status.pid, 7);
  EXPECT_EQ(status.cursig, 0);
  EXPECT_EQ(status.reg.regs[0], registers.get(Register::x0));
  EXPECT_EQ(status.reg.regs[30], registers.get(Register::x30));
  EXPECT_EQ(status.reg.sp, registers.get(Register::sp));
  EXPECT_EQ(status.reg.pc, registers.get(Register::pc));
  EXPECT_EQ(status.reg.pstate, registers.get(Register::cpsr));
  const RegisterSet again = aarch64::prstatus_registers(bytes);
  EXPECT_EQ(again.get(Register::cpsr), registers.get(Register::cpsr));
  EXPECT_EQ(again.get(Register::sp_el0), std::nullopt);
  EXPECT_EQ(aarch64::prstatus(again, 7), bytes);
}

TEST(Prstatus, OfRiscv64_IsThatOfLinux) {
  using riscv64::Register;
  const RegisterSet registers = numbered(riscv64::register_layout());
  const auto bytes = riscv64::prstatus(registers, 7);
  const auto status = as<ElfPrstatus<Riscv64Registers>>(bytes);
  EXPECT_EQ(status.pid, 7);
  EXPECT_EQ(status.cursig, 0);
  EXPECT_EQ(status.reg.pc, registers.get(Register::pc));
  EXPECT_EQ(status.reg.ra, registers.get(Register::ra));
  EXPECT_EQ(status.reg.s0, registers.get(Register::s0));
  EXPECT_EQ(status.reg.a0, registers.get(Register::a0));
  EXPECT_EQ(status.reg.s2, registers.get(Register::s2));
  EXPECT_EQ(status.reg.s11, registers.get(Register::s11));
  EXPECT_EQ(status.reg.t6, registers.get(Register::t6));
  EXPECT_EQ(status.fpvalid, 0);
  const RegisterSet again = riscv64::prstatus_registers(bytes);
  EXPECT_EQ(again.get(Register::t6), registers.get(Register::t6));
  EXPECT_EQ(again.get(Register::zero), std::nullopt) << "the note has pc in its place";
  EXPECT_EQ(again.get(Register::satp), std::nullopt);
  EXPECT_EQ(riscv64::prstatus(again, 7), bytes);
}

TEST(Prstatus, AbsentRegisters_AreZero) {
  const auto bytes = riscv64::prstatus(RegisterSet{riscv64::register_layout()}, 0);
  EXPECT_EQ(bytes, riscv64::Prstatus{});
}

} // namespace
} // namespace vmemfs
