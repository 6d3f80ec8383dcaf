// SPDX-License-Identifier: MIT
// Register layout of an x86-64 vCPU, and typed indexes into it.
#pragma once

#include "core/register_layout.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vmemfs::x86_64 {

/// In the order of the text form. The four parts of a segment are in the order of SegmentPart.
enum class Register : std::uint8_t {
  rax,
  rbx,
  rcx,
  rdx,
  rsi,
  rdi,
  rbp,
  rsp,
  r8,
  r9,
  r10,
  r11,
  r12,
  r13,
  r14,
  r15,
  rip,
  rflags,
  cs_selector,
  cs_base,
  cs_limit,
  cs_attributes,
  ss_selector,
  ss_base,
  ss_limit,
  ss_attributes,
  ds_selector,
  ds_base,
  ds_limit,
  ds_attributes,
  es_selector,
  es_base,
  es_limit,
  es_attributes,
  fs_selector,
  fs_base,
  fs_limit,
  fs_attributes,
  gs_selector,
  gs_base,
  gs_limit,
  gs_attributes,
  ldt_selector,
  ldt_base,
  ldt_limit,
  ldt_attributes,
  tr_selector,
  tr_base,
  tr_limit,
  tr_attributes,
  gdt_base,
  gdt_limit,
  idt_base,
  idt_limit,
  cr0,
  cr2,
  cr3,
  cr4,
  cr8,
  dr0,
  dr1,
  dr2,
  dr3,
  dr6,
  dr7,
  efer,
  star,
  lstar,
  cstar,
  sfmask,
  kernel_gs_base,
  sysenter_cs,
  sysenter_esp,
  sysenter_eip,
  pat,
};

inline constexpr std::size_t kRegisterCount = static_cast<std::size_t>(Register::pat) + 1;

/// `attributes` are bits 8 to 15 and 20 to 23 of a descriptor's upper half, moved down as in VMX and
/// KVM: type 0-3, s 4, dpl 5-6, p 7, avl 12, l 13, db 14, g 15; bit 16 set: unusable.
enum class SegmentPart : std::uint8_t { selector, base, limit, attributes };

enum class Segment : std::uint8_t { cs, ss, ds, es, fs, gs, ldt, tr };

[[nodiscard]] constexpr Register segment_register(Segment segment, SegmentPart part) {
  return static_cast<Register>(static_cast<unsigned>(Register::cs_selector) +
                               4 * static_cast<unsigned>(segment) + static_cast<unsigned>(part));
}

[[nodiscard]] const RegisterLayout& register_layout();
[[nodiscard]] inline const RegisterLayout& register_layout(Register) { return register_layout(); }

[[nodiscard]] std::string_view to_string(Register reg);
[[nodiscard]] std::optional<Register> register_by_name(std::string_view name);

} // namespace vmemfs::x86_64
