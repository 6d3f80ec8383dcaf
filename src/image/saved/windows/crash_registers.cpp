// SPDX-License-Identifier: MIT
#include "image/saved/windows/crash_registers.h"

#include "arch/x86_64/note_fields.h"
#include "arch/x86_64/registers.h"

#include <cstdint>
#include <span>

namespace vmemfs {
namespace {

using x86_64::NoteField;
using enum x86_64::Register;

constexpr std::uint16_t kMachineAmd64 = 0x8664;
/// "PAGE" twice.
constexpr std::uint64_t kNotSet = 0x4547'4150'4547'4150;

// Offsets and flags are those of the CONTEXT.
constexpr std::size_t kFlags = 0x30;
constexpr std::uint32_t kArchitectureMask = 0xffff'0000;
constexpr std::uint32_t kContextAmd64 = 0x0010'0000;

constexpr NoteField kControl[] = {
    {0x38, 2, cs_selector}, {0x42, 2, ss_selector}, {0x44, 4, rflags}, {0x98, 8, rsp}, {0xf8, 8, rip},
};
constexpr NoteField kInteger[] = {
    {0x78, 8, rax}, {0x80, 8, rcx}, {0x88, 8, rdx}, {0x90, 8, rbx}, {0xa0, 8, rbp},
    {0xa8, 8, rsi}, {0xb0, 8, rdi}, {0xb8, 8, r8},  {0xc0, 8, r9},  {0xc8, 8, r10},
    {0xd0, 8, r11}, {0xd8, 8, r12}, {0xe0, 8, r13}, {0xe8, 8, r14}, {0xf0, 8, r15},
};
constexpr NoteField kSegments[] = {
    {0x3a, 2, ds_selector},
    {0x3c, 2, es_selector},
    {0x3e, 2, fs_selector},
    {0x40, 2, gs_selector},
};
constexpr NoteField kDebug[] = {
    {0x48, 8, dr0}, {0x50, 8, dr1}, {0x58, 8, dr2}, {0x60, 8, dr3}, {0x68, 8, dr6}, {0x70, 8, dr7},
};

/// The registers that one flag of the CONTEXT stands for.
struct Part {
  std::uint32_t flag;
  std::span<const NoteField> fields;
};
constexpr Part kParts[] = {{0x1, kControl}, {0x2, kInteger}, {0x4, kSegments}, {0x10, kDebug}};

std::uint64_t value_of(const CrashHeader& header, const NoteField& field) {
  const std::size_t at = CrashHeader::kContext + field.offset;
  switch (field.size) {
  case 2: return header.field<std::uint16_t>(at);
  case 4: return header.field<std::uint32_t>(at);
  default: return header.field<std::uint64_t>(at);
  }
}

bool read_context(const CrashHeader& header, RegisterSet& set) {
  const auto flags = header.field<std::uint32_t>(CrashHeader::kContext + kFlags);
  if ((flags & kArchitectureMask) != kContextAmd64) {
    return false;
  }
  bool any = false;
  for (const Part& part : kParts) {
    if ((flags & part.flag) != 0) {
      for (const NoteField& field : part.fields) {
        set.set(field.reg, value_of(header, field));
      }
      any = true;
    }
  }
  return any;
}

} // namespace

CrashRegisters crash_registers(const CrashHeader& header) {
  if (header.field<std::uint32_t>(CrashHeader::kMachine) != kMachineAmd64) {
    return {};
  }
  RegisterSet set{x86_64::register_layout()};
  const bool context = read_context(header, set);
  const auto root = header.field<std::uint64_t>(CrashHeader::kDirectoryTableBase);
  const bool has_root = root != kNotSet && root != 0;
  if (has_root) {
    set.set(cr3, root);
  }
  if (context) {
    return {{set},
            has_root ? "the CONTEXT of the CPU that crashed, CR3 from DirectoryTableBase"
                     : "the CONTEXT of the CPU that crashed"};
  }
  return has_root ? CrashRegisters{{set}, "DirectoryTableBase: CR3 only"} : CrashRegisters{};
}

} // namespace vmemfs
