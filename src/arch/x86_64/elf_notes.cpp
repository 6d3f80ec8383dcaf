// SPDX-License-Identifier: MIT
#include "arch/x86_64/elf_notes.h"

#include "arch/x86_64/registers.h"
#include "core/little_endian.h"

#include <span>

namespace vmemfs::x86_64 {
namespace {

std::uint64_t value_of(const RegisterSet& registers, Register reg) { return registers.get(reg).value_or(0); }

/// The upper half of a segment's descriptor, without the bits of its base.
std::uint32_t descriptor_flags(std::uint64_t attributes, std::uint64_t limit) {
  constexpr std::uint64_t kUnusable = 1U << 16U;
  constexpr std::uint64_t kGranularity = 1U << 15U;
  if ((attributes & kUnusable) != 0) {
    return 0;
  }
  const std::uint64_t limit_bits = limit >> ((attributes & kGranularity) != 0 ? 28U : 16U) & 0xfU;
  return static_cast<std::uint32_t>((attributes & 0xf0ffU) << 8U | limit_bits << 16U);
}

class QemuState {
public:
  explicit QemuState(const RegisterSet& registers) : registers_{registers} {}

  void number(std::size_t offset, Register reg) {
    store_le(std::span{bytes_}, offset, value_of(registers_, reg));
  }
  void segment(std::size_t offset, Segment segment) {
    const auto part = [&](SegmentPart which) {
      return value_of(registers_, segment_register(segment, which));
    };
    const std::uint64_t limit = part(SegmentPart::limit);
    table(offset, part(SegmentPart::base), limit);
    store_le(std::span{bytes_}, offset, static_cast<std::uint32_t>(part(SegmentPart::selector)));
    store_le(std::span{bytes_}, offset + 8, descriptor_flags(part(SegmentPart::attributes), limit));
  }
  void table(std::size_t offset, std::uint64_t base, std::uint64_t limit) {
    store_le(std::span{bytes_}, offset + 4, static_cast<std::uint32_t>(limit));
    store_le(std::span{bytes_}, offset + 16, base);
  }
  void header() {
    store_le(std::span{bytes_}, 0, std::uint32_t{1}); // version
    store_le(std::span{bytes_}, 4, static_cast<std::uint32_t>(bytes_.size()));
  }
  [[nodiscard]] const QemuCpuState& bytes() const { return bytes_; }

private:
  const RegisterSet& registers_;
  QemuCpuState bytes_{};
};

} // namespace

Prstatus prstatus(const RegisterSet& registers, std::uint32_t pid) {
  constexpr std::size_t kPid = 32;
  constexpr std::size_t kRegisters = 112;
  constexpr std::size_t kOrigRax = 15;
  constexpr Register kOrder[] = {
      Register::r15,         Register::r14,         Register::r13,         Register::r12,
      Register::rbp,         Register::rbx,         Register::r11,         Register::r10,
      Register::r9,          Register::r8,          Register::rax,         Register::rcx,
      Register::rdx,         Register::rsi,         Register::rdi,
      Register::rax, // orig_rax, see below
      Register::rip,         Register::cs_selector, Register::rflags,      Register::rsp,
      Register::ss_selector, Register::fs_base,     Register::gs_base,     Register::ds_selector,
      Register::es_selector, Register::fs_selector, Register::gs_selector,
  };
  Prstatus bytes{};
  store_le(std::span{bytes}, kPid, pid);
  for (std::size_t i = 0; i < std::size(kOrder); ++i) {
    // The number of the system call is not known; QEMU has 0 there too.
    const std::uint64_t value = i == kOrigRax ? 0 : value_of(registers, kOrder[i]);
    store_le(std::span{bytes}, kRegisters + i * sizeof value, value);
  }
  return bytes;
}

QemuCpuState qemu_cpu_state(const RegisterSet& registers) {
  constexpr Register kOrder[] = {
      Register::rax, Register::rbx, Register::rcx, Register::rdx, Register::rsi, Register::rdi,
      Register::rsp, Register::rbp, Register::r8,  Register::r9,  Register::r10, Register::r11,
      Register::r12, Register::r13, Register::r14, Register::r15, Register::rip, Register::rflags,
  };
  constexpr Segment kSegments[] = {Segment::cs, Segment::ds, Segment::es,  Segment::fs,
                                   Segment::gs, Segment::ss, Segment::ldt, Segment::tr};
  constexpr std::size_t kFirstSegment = 152;
  constexpr std::size_t kSegmentBytes = 24;
  QemuState state{registers};
  state.header();
  for (std::size_t i = 0; i < std::size(kOrder); ++i) {
    state.number(8 + i * sizeof(std::uint64_t), kOrder[i]);
  }
  for (std::size_t i = 0; i < std::size(kSegments); ++i) {
    state.segment(kFirstSegment + i * kSegmentBytes, kSegments[i]);
  }
  state.table(344, value_of(registers, Register::gdt_base), value_of(registers, Register::gdt_limit));
  state.table(368, value_of(registers, Register::idt_base), value_of(registers, Register::idt_limit));
  state.number(392, Register::cr0);
  state.number(408, Register::cr2);
  state.number(416, Register::cr3);
  state.number(424, Register::cr4);
  state.number(432, Register::kernel_gs_base);
  return state.bytes();
}

} // namespace vmemfs::x86_64
