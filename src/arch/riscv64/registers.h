// SPDX-License-Identifier: MIT
// Register layout of a riscv64 hart, and typed indexes into it.
//
// Names of the integer and floating-point registers are those of the ABI (RISC-V ELF psABI), as GDB prints
// them; GDB's feature org.gnu.gdb.riscv.cpu has "fp" for s0. `priv` is GDB's virtual register of the
// privilege mode: 0 user, 1 supervisor, 3 machine, and bit 2 with virtualization (the V of the Debug
// specification). Control and status registers have their names in the privileged specification. Not here:
// those of counters, of physical memory protection, of triggers and of the vector extension.
#pragma once

#include "core/register_layout.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmemfs::riscv64 {

/// In the order of the text form. Of the general registers it is the order of their numbers, x0 to x31, and
/// likewise of the floating-point ones, f0 to f31.
enum class Register : std::uint8_t {
  zero,
  ra,
  sp,
  gp,
  tp,
  t0,
  t1,
  t2,
  s0,
  s1,
  a0,
  a1,
  a2,
  a3,
  a4,
  a5,
  a6,
  a7,
  s2,
  s3,
  s4,
  s5,
  s6,
  s7,
  s8,
  s9,
  s10,
  s11,
  t3,
  t4,
  t5,
  t6,
  pc,
  priv,
  ft0,
  ft1,
  ft2,
  ft3,
  ft4,
  ft5,
  ft6,
  ft7,
  fs0,
  fs1,
  fa0,
  fa1,
  fa2,
  fa3,
  fa4,
  fa5,
  fa6,
  fa7,
  fs2,
  fs3,
  fs4,
  fs5,
  fs6,
  fs7,
  fs8,
  fs9,
  fs10,
  fs11,
  ft8,
  ft9,
  ft10,
  ft11,
  fflags,
  frm,
  fcsr,
  sstatus,
  sie,
  stvec,
  scounteren,
  senvcfg,
  sscratch,
  sepc,
  scause,
  stval,
  sip,
  stimecmp,
  satp,
  mvendorid,
  marchid,
  mimpid,
  mhartid,
  mstatus,
  misa,
  medeleg,
  mideleg,
  mie,
  mtvec,
  mcounteren,
  menvcfg,
  mscratch,
  mepc,
  mcause,
  mtval,
  mip,
  mtinst,
  mtval2,
  hstatus,
  hedeleg,
  hideleg,
  hie,
  hcounteren,
  hgeie,
  htimedelta,
  henvcfg,
  htval,
  hip,
  hvip,
  htinst,
  hgatp,
  hgeip,
  vsstatus,
  vsie,
  vstvec,
  vsscratch,
  vsepc,
  vscause,
  vstval,
  vsip,
  vstimecmp,
  vsatp,
};

inline constexpr std::size_t kRegisterCount = static_cast<std::size_t>(Register::vsatp) + 1;

[[nodiscard]] const RegisterLayout& register_layout();
[[nodiscard]] inline const RegisterLayout& register_layout(Register) { return register_layout(); }

[[nodiscard]] std::string_view to_string(Register reg);

} // namespace vmemfs::riscv64
