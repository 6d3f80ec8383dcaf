// SPDX-License-Identifier: MIT
#include "arch/x86_64/elf_notes.h"

#include "arch/x86_64/note_fields.h"
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

void put_fields(std::span<std::byte> bytes, const RegisterSet& registers, std::span<const NoteField> fields) {
  for (const NoteField& field : fields) {
    const std::uint64_t value = value_of(registers, field.reg);
    if (field.size == sizeof value) {
      store_le(bytes, field.offset, value);
    } else {
      store_le(bytes, field.offset, static_cast<std::uint32_t>(value));
    }
  }
}

} // namespace

// The number of the system call (orig_rax) is not known; QEMU has 0 there too.
Prstatus prstatus(const RegisterSet& registers, std::uint32_t pid) {
  constexpr std::size_t kPid = 32;
  Prstatus bytes{};
  store_le(std::span{bytes}, kPid, pid);
  put_fields(bytes, registers, kPrstatusFields);
  return bytes;
}

QemuCpuState qemu_cpu_state(const RegisterSet& registers) {
  QemuCpuState bytes{};
  const std::span all{bytes};
  store_le(all, 0, kQemuStateVersion);
  store_le(all, 4, static_cast<std::uint32_t>(bytes.size()));
  put_fields(bytes, registers, kQemuStateFields);
  std::size_t at = kQemuSegments;
  for (const Segment segment : kQemuSegmentOrder) {
    const auto part = [&](SegmentPart which) {
      return value_of(registers, segment_register(segment, which));
    };
    const std::uint64_t limit = part(SegmentPart::limit);
    store_le(all, at, static_cast<std::uint32_t>(part(SegmentPart::selector)));
    store_le(all, at + 4, static_cast<std::uint32_t>(limit));
    store_le(all, at + 8, descriptor_flags(part(SegmentPart::attributes), limit));
    store_le(all, at + 16, part(SegmentPart::base));
    at += kQemuSegmentBytes;
  }
  return bytes;
}

} // namespace vmemfs::x86_64
