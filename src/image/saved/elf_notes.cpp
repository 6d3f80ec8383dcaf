// SPDX-License-Identifier: MIT
#include "image/saved/elf_notes.h"

#include "arch/aarch64/elf_notes.h"
#include "arch/riscv64/elf_notes.h"
#include "arch/x86_64/note_fields.h"
#include "arch/x86_64/registers.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <optional>

namespace vmemfs {
namespace {

namespace x86 = x86_64;
using x86::Segment;
using x86::SegmentPart;

std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t offset, std::size_t size) {
  std::uint64_t value = 0;
  if (offset + size <= bytes.size()) {
    std::memcpy(&value, bytes.data() + offset, size);
  }
  return value;
}

RegisterSet read_fields(std::span<const std::byte> content, std::span<const x86::NoteField> fields) {
  RegisterSet set{x86::register_layout()};
  for (const auto& field : fields) {
    if (std::size_t{field.offset} + field.size <= content.size()) {
      set.set(field.reg, number_at(content, field.offset, field.size));
    }
  }
  return set;
}

// ---- NT_PRSTATUS

using enum x86::Register;

constexpr std::size_t kPrstatus32 = 144;
constexpr x86::NoteField kPrstatusFields32[] = {
    {72, 4, rbx},          {76, 4, rcx},          {80, 4, rdx},          {84, 4, rsi},
    {88, 4, rdi},          {92, 4, rbp},          {96, 4, rax},          {100, 2, ds_selector},
    {104, 2, es_selector}, {108, 2, fs_selector}, {112, 2, gs_selector}, {120, 4, rip},
    {124, 2, cs_selector}, {128, 4, rflags},      {132, 4, rsp},         {136, 2, ss_selector},
};

std::optional<RegisterSet> read_prstatus(std::uint16_t machine, std::span<const std::byte> content) {
  if (machine == EM_X86_64 && content.size() >= x86::kPrstatusBytes) {
    return read_fields(content, x86::kPrstatusFields);
  }
  // A 64-bit guest that is not in long mode yet has the 32-bit note, in a file of either class.
  if (machine == EM_386 && content.size() >= kPrstatus32) {
    return read_fields(content, kPrstatusFields32);
  }
  if (machine == EM_AARCH64 && content.size() >= aarch64::kPrstatusBytes) {
    return aarch64::prstatus_registers(content.first<aarch64::kPrstatusBytes>());
  }
  // Of 32-bit ones, and of architectures that a kdump file does not name, the size differs.
  if (machine == EM_RISCV && content.size() == riscv64::kPrstatusBytes) {
    return riscv64::prstatus_registers(content.first<riscv64::kPrstatusBytes>());
  }
  return std::nullopt;
}

// ---- QEMU

constexpr std::size_t kQemuState = 432;

constexpr std::uint64_t kPresent = 1U << 7U;
constexpr std::uint64_t kUnusable = 1U << 16U;

/// From the upper half of a descriptor.
std::uint64_t attributes_of(std::uint64_t flags) {
  const std::uint64_t attributes = (flags >> 8U) & 0xf0ffU;
  return (attributes & kPresent) == 0 ? attributes | kUnusable : attributes;
}

std::optional<RegisterSet> read_qemu(std::span<const std::byte> content) {
  if (content.size() < kQemuState || number_at(content, 0, 4) != x86::kQemuStateVersion) {
    return std::nullopt;
  }
  RegisterSet set = read_fields(content, x86::kQemuStateFields);
  std::size_t at = x86::kQemuSegments;
  for (const Segment segment : x86::kQemuSegmentOrder) {
    set.set(segment_register(segment, SegmentPart::selector), number_at(content, at, 4));
    set.set(segment_register(segment, SegmentPart::limit), number_at(content, at + 4, 4));
    set.set(segment_register(segment, SegmentPart::attributes), attributes_of(number_at(content, at + 8, 4)));
    set.set(segment_register(segment, SegmentPart::base), number_at(content, at + 16, 8));
    at += x86::kQemuSegmentBytes;
  }
  return set;
}

// ---- VirtualBox

constexpr std::uint32_t kVboxCpu = 0xb01;
/// Up to here all versions are alike, except for the first, whose note is longer by far.
constexpr std::size_t kVboxState = 552;
constexpr x86::NoteField kVboxFields[] = {
    {0, 8, rax},
    {8, 8, rbx},
    {16, 8, rcx},
    {24, 8, rdx},
    {32, 8, rsi},
    {40, 8, rdi},
    {48, 8, r8},
    {56, 8, r9},
    {64, 8, r10},
    {72, 8, r11},
    {80, 8, r12},
    {88, 8, r13},
    {96, 8, r14},
    {104, 8, r15},
    {112, 8, rip},
    {120, 8, rsp},
    {128, 8, rbp},
    {136, 8, rflags},
    {288, 8, cr0},
    {296, 8, cr2},
    {304, 8, cr3},
    {312, 8, cr4},
    {320, 8, dr0},
    {328, 8, dr1},
    {336, 8, dr2},
    {344, 8, dr3},
    {368, 8, dr6},
    {376, 8, dr7},
    {384, 8, gdt_base},
    {392, 4, gdt_limit},
    {400, 8, idt_base},
    {408, 4, idt_limit},
    {464, 8, sysenter_cs},
    {472, 8, sysenter_eip},
    {480, 8, sysenter_esp},
    {488, 8, efer},
    {496, 8, star},
    {504, 8, pat},
    {512, 8, lstar},
    {520, 8, cstar},
    {528, 8, sfmask},
    {536, 8, kernel_gs_base},
};
struct VboxSegment {
  std::uint16_t offset;
  Segment segment;
};
constexpr VboxSegment kVboxSegments[] = {
    {144, Segment::cs}, {168, Segment::ds}, {192, Segment::es},  {216, Segment::fs},
    {240, Segment::gs}, {264, Segment::ss}, {416, Segment::ldt}, {440, Segment::tr},
};

std::optional<RegisterSet> read_virtualbox(std::span<const std::byte> content) {
  if (content.size() < kVboxState) {
    return std::nullopt;
  }
  RegisterSet set = read_fields(content, kVboxFields);
  for (const auto& [at, segment] : kVboxSegments) {
    set.set(segment_register(segment, SegmentPart::base), number_at(content, at, 8));
    set.set(segment_register(segment, SegmentPart::limit), number_at(content, at + 8U, 4));
    // Its attributes have our bits already.
    set.set(segment_register(segment, SegmentPart::attributes), number_at(content, at + 12U, 4));
    set.set(segment_register(segment, SegmentPart::selector), number_at(content, at + 16U, 2));
  }
  return set;
}

void keep(std::vector<RegisterSet>& sets, std::optional<RegisterSet> set) {
  if (set && sets.size() < kMaxDumpVcpus) {
    sets.push_back(*set);
  }
}

/// The header of a note; name and content follow, each padded to four bytes.
struct NoteHeader {
  std::uint32_t name_size;
  std::uint32_t content_size;
  std::uint32_t type;
};

constexpr std::uint64_t padded(std::uint32_t size) { return (std::uint64_t{size} + 3U) & ~std::uint64_t{3}; }

/// VMCOREINFO has lines KEY=VALUE, and this one first.
std::string release_of(std::span<const std::byte> vmcoreinfo) {
  constexpr std::string_view kKey = "OSRELEASE=";
  constexpr std::size_t kMaxRelease = 64; // as of uname(2)
  const std::string_view text{reinterpret_cast<const char*>(vmcoreinfo.data()), vmcoreinfo.size()};
  if (!text.starts_with(kKey)) {
    return {};
  }
  const std::string_view rest = text.substr(kKey.size());
  const std::string_view value = rest.substr(0, rest.find_first_of(std::string_view{"\n\0", 2}));
  return value.size() <= kMaxRelease ? std::string{value} : std::string{};
}

} // namespace

void ElfNotes::read(std::span<const std::byte> bytes) {
  while (bytes.size() >= sizeof(NoteHeader)) {
    NoteHeader header{};
    std::memcpy(&header, bytes.data(), sizeof(header));
    bytes = bytes.subspan(sizeof(header));
    const std::uint64_t name_space = padded(header.name_size);
    if (name_space > bytes.size() || header.content_size > bytes.size() - name_space) {
      return;
    }
    std::string_view name{reinterpret_cast<const char*>(bytes.data()), header.name_size};
    name = name.substr(0, name.find('\0')); // some writers count the NUL, others do not
    bytes = bytes.subspan(static_cast<std::size_t>(name_space));
    read_note(name, header.type, bytes.first(header.content_size));
    bytes = bytes.subspan(std::min<std::size_t>(bytes.size(), padded(header.content_size)));
  }
}

void ElfNotes::read_note(std::string_view name, std::uint32_t type, std::span<const std::byte> content) {
  if (name == "CORE" && type == NT_PRSTATUS) {
    keep(prstatus_, read_prstatus(machine_, content));
  } else if (name == "QEMU" && type == 0 && (machine_ == EM_X86_64 || machine_ == EM_386)) {
    keep(qemu_, read_qemu(content));
  } else if (name == "VBCPU" && type == kVboxCpu) {
    keep(virtualbox_, read_virtualbox(content));
  } else if (name == "VMCOREINFO" && type == 0) {
    of_linux_ = true;
    release_ = release_of(content);
  }
}

std::string_view ElfNotes::writer() const {
  return !qemu_.empty() ? "QEMU" : !virtualbox_.empty() ? "VirtualBox" : of_linux_ ? "Linux" : "";
}

const std::vector<RegisterSet>& ElfNotes::registers() const {
  return !qemu_.empty() ? qemu_ : !virtualbox_.empty() ? virtualbox_ : prstatus_;
}

std::string_view ElfNotes::registers_from() const {
  return !qemu_.empty()         ? "QEMU's notes"
         : !virtualbox_.empty() ? "VirtualBox's notes"
         : !prstatus_.empty()   ? "NT_PRSTATUS notes: general registers and selectors only"
                                : "";
}

} // namespace vmemfs
