// The register set of an x86-64 vCPU and the text form that every driver shares.
//
// Text form, as in `vcpus/N/regs`: one `name 0xvalue` a line, 16 hex digits, names and order fixed by
// register_names(). A register that the source does not have is absent, never 0.
#pragma once

#include "core/error.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// In the order of the text form. A segment's four parts stand in the order of SegmentPart.
// clang-format off: a line stands for a group
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
// clang-format on

inline constexpr std::size_t kRegisterCount = static_cast<std::size_t>(Register::pat) + 1;

/// `attributes` are bits 8 to 15 and 20 to 23 of a descriptor's upper half, moved down as in VMX and
/// KVM: type 0-3, s 4, dpl 5-6, p 7, avl 12, l 13, db 14, g 15; bit 16 set: unusable.
enum class SegmentPart : std::uint8_t { selector, base, limit, attributes };

enum class Segment : std::uint8_t { cs, ss, ds, es, fs, gs, ldt, tr };

[[nodiscard]] constexpr Register segment_register(Segment segment, SegmentPart part) {
  return static_cast<Register>(static_cast<unsigned>(Register::cs_selector) +
                               4 * static_cast<unsigned>(segment) + static_cast<unsigned>(part));
}

/// Names in the order of the text form, indexed by Register.
[[nodiscard]] std::span<const std::string_view, kRegisterCount> register_names();

[[nodiscard]] std::string_view to_string(Register reg);
[[nodiscard]] std::optional<Register> register_by_name(std::string_view name);

class RegisterSet {
public:
  void set(Register reg, std::uint64_t value) { values_[static_cast<std::size_t>(reg)] = value; }
  [[nodiscard]] std::optional<std::uint64_t> get(Register reg) const {
    return values_[static_cast<std::size_t>(reg)];
  }
  [[nodiscard]] bool empty() const;

  friend bool operator==(const RegisterSet&, const RegisterSet&) = default;

private:
  std::array<std::optional<std::uint64_t>, kRegisterCount> values_{};
};

/// The text form; absent registers have no line.
[[nodiscard]] std::string to_text(const RegisterSet& registers);

/// One register to be set.
struct RegisterValue {
  Register reg;
  std::uint64_t value;

  friend bool operator==(const RegisterValue&, const RegisterValue&) = default;
};

/// Reads lines of the text form (`name value`, value in hex with 0x or in decimal; blank lines and
/// lines that start with # are skipped). All of the text is checked before anything is returned, so
/// a bad line means that nothing gets set.
[[nodiscard]] Result<std::vector<RegisterValue>> parse_registers(std::string_view text);

} // namespace vmemfs
