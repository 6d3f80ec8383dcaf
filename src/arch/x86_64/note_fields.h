// SPDX-License-Identifier: MIT
// Places of x86-64 registers in the notes of ELF cores, for those who read such notes and those who make
// them.
//
// Formats: NT_PRSTATUS is struct elf_prstatus of Linux (include/linux/elfcore.h); QEMU's note is QEMUCPUState
// (target/i386/arch_dump.c).
#pragma once

#include "arch/x86_64/registers.h"

#include <cstddef>
#include <cstdint>

namespace vmemfs::x86_64 {

/// A register's place in a note; numbers are little-endian.
struct NoteField {
  std::uint16_t offset;
  std::uint8_t size; ///< 2, 4 or 8 bytes
  Register reg;
};

inline constexpr std::size_t kPrstatusBytes = 336;
inline constexpr NoteField kPrstatusFields[] = {
    {112, 8, Register::r15},         {120, 8, Register::r14},         {128, 8, Register::r13},
    {136, 8, Register::r12},         {144, 8, Register::rbp},         {152, 8, Register::rbx},
    {160, 8, Register::r11},         {168, 8, Register::r10},         {176, 8, Register::r9},
    {184, 8, Register::r8},          {192, 8, Register::rax},         {200, 8, Register::rcx},
    {208, 8, Register::rdx},         {216, 8, Register::rsi},         {224, 8, Register::rdi},
    {240, 8, Register::rip},         {248, 8, Register::cs_selector}, {256, 8, Register::rflags},
    {264, 8, Register::rsp},         {272, 8, Register::ss_selector}, {280, 8, Register::fs_base},
    {288, 8, Register::gs_base},     {296, 8, Register::ds_selector}, {304, 8, Register::es_selector},
    {312, 8, Register::fs_selector}, {320, 8, Register::gs_selector},
};

inline constexpr std::uint32_t kQemuStateVersion = 1;
inline constexpr NoteField kQemuStateFields[] = {
    {8, 8, Register::rax},         {16, 8, Register::rbx},       {24, 8, Register::rcx},
    {32, 8, Register::rdx},        {40, 8, Register::rsi},       {48, 8, Register::rdi},
    {56, 8, Register::rsp},        {64, 8, Register::rbp},       {72, 8, Register::r8},
    {80, 8, Register::r9},         {88, 8, Register::r10},       {96, 8, Register::r11},
    {104, 8, Register::r12},       {112, 8, Register::r13},      {120, 8, Register::r14},
    {128, 8, Register::r15},       {136, 8, Register::rip},      {144, 8, Register::rflags},
    {348, 4, Register::gdt_limit}, {360, 8, Register::gdt_base}, {372, 4, Register::idt_limit},
    {384, 8, Register::idt_base},  {392, 8, Register::cr0},      {408, 8, Register::cr2},
    {416, 8, Register::cr3},       {424, 8, Register::cr4},      {432, 8, Register::kernel_gs_base},
};
/// Its segments, from kQemuSegments on: selector, limit and flags of 4 bytes each, 4 unused ones, base.
inline constexpr std::size_t kQemuSegments = 152;
inline constexpr std::size_t kQemuSegmentBytes = 24;
inline constexpr Segment kQemuSegmentOrder[] = {Segment::cs, Segment::ds, Segment::es,  Segment::fs,
                                                Segment::gs, Segment::ss, Segment::ldt, Segment::tr};

} // namespace vmemfs::x86_64
