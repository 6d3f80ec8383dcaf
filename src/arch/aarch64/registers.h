// SPDX-License-Identifier: MIT
// Register layout of an aarch64 vCPU, and typed indexes into it.
//
// Names of the general registers are those of gdb's feature org.gnu.gdb.aarch64.core (aarch64-core.xml,
// which QEMU's gdbstub serves too); PSTATE is called cpsr there. System registers are those of EL1 that
// QEMU's gdbstub lists, by their names in Arm's manual (DDI 0487) in lower case: QEMU prints them in
// upper case, and older versions without the suffix if the register has the same name in AArch32
// (SCTLR, VBAR). `info registers` of QEMU's monitor has the general registers only.
#pragma once

#include "core/register_layout.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmemfs::aarch64 {

/// In the order of the text form.
enum class Register : std::uint8_t {
  x0,
  x1,
  x2,
  x3,
  x4,
  x5,
  x6,
  x7,
  x8,
  x9,
  x10,
  x11,
  x12,
  x13,
  x14,
  x15,
  x16,
  x17,
  x18,
  x19,
  x20,
  x21,
  x22,
  x23,
  x24,
  x25,
  x26,
  x27,
  x28,
  x29,
  x30,
  sp,
  pc,
  cpsr,
  sp_el0,
  sp_el1,
  elr_el1,
  spsr_el1,
  sctlr_el1,
  actlr_el1,
  cpacr_el1,
  ttbr0_el1,
  ttbr1_el1,
  tcr_el1,
  mair_el1,
  amair_el1,
  vbar_el1,
  esr_el1,
  far_el1,
  afsr0_el1,
  afsr1_el1,
  par_el1,
  contextidr_el1,
  tpidr_el0,
  tpidrro_el0,
  tpidr_el1,
  cntkctl_el1,
  mdscr_el1,
  midr_el1,
};

inline constexpr std::size_t kRegisterCount = static_cast<std::size_t>(Register::midr_el1) + 1;

[[nodiscard]] const RegisterLayout& register_layout();
[[nodiscard]] inline const RegisterLayout& register_layout(Register) { return register_layout(); }

[[nodiscard]] std::string_view to_string(Register reg);

} // namespace vmemfs::aarch64
