// SPDX-License-Identifier: MIT
#include "image/elf_core.h"

#include <cstring>
#include <elf.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs {
namespace {

template <typename T> T at(const std::vector<std::byte>& bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Elf64_Phdr program_header(const std::vector<std::byte>& bytes, std::size_t i) {
  return at<Elf64_Phdr>(bytes, sizeof(Elf64_Ehdr) + i * sizeof(Elf64_Phdr));
}

const std::vector<GpaRange> kRanges{{Gpa{0}, Gpa{0xa0000}}, {Gpa{0x100000}, Gpa{0x4000000}}};

TEST(ElfCore, Headers_DescribeNotesAndRanges) {
  std::vector<std::byte> notes;
  add_elf_note(notes, "CORE", kElfPrstatus, std::vector<std::byte>(5, std::byte{'x'}));
  EXPECT_EQ(notes.size(), 12U + 8 + 8);
  EXPECT_EQ(notes.size(), elf_note_bytes("CORE", 5));
  const ElfCoreShape shape{.ranges = 2, .max_virtual = 2, .max_note_bytes = 100};
  const auto bytes =
      elf_core_header(shape, {.machine = ElfMachine::x86_64,
                              .ranges = kRanges,
                              .virtual_ranges = {{{Gpa{0x200000}, Gpa{0x300000}}, 0xffffffff81000000}},
                              .notes = notes});
  EXPECT_EQ(bytes.size(), shape.header_bytes());
  EXPECT_EQ(bytes.size() % 4096, 0U);

  const auto header = at<Elf64_Ehdr>(bytes, 0);
  EXPECT_EQ(std::memcmp(header.e_ident, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0", EI_NIDENT), 0);
  EXPECT_EQ(header.e_type, ET_CORE);
  EXPECT_EQ(header.e_machine, EM_X86_64);
  EXPECT_EQ(header.e_phnum, 5U);
  EXPECT_EQ(header.e_phentsize, sizeof(Elf64_Phdr));
  EXPECT_EQ(header.e_shnum, 0U);

  const Elf64_Phdr note = program_header(bytes, 0);
  EXPECT_EQ(note.p_type, static_cast<unsigned>(PT_NOTE));
  EXPECT_EQ(note.p_filesz, notes.size());
  EXPECT_EQ(std::memcmp(bytes.data() + note.p_offset, notes.data(), notes.size()), 0);

  const Elf64_Phdr high = program_header(bytes, 2);
  EXPECT_EQ(high.p_type, static_cast<unsigned>(PT_LOAD));
  EXPECT_EQ(high.p_offset, bytes.size() + 0xa0000);
  EXPECT_EQ(high.p_paddr, 0x100000U);
  EXPECT_EQ(high.p_vaddr, 0x100000U);
  EXPECT_EQ(high.p_filesz, 0x3f00000U);
  EXPECT_EQ(high.p_memsz, 0x3f00000U);
  EXPECT_EQ(high.p_align, 0U) << "crash takes other cores for netdumps";

  const Elf64_Phdr text = program_header(bytes, 3);
  EXPECT_EQ(text.p_vaddr, 0xffffffff81000000U);
  EXPECT_EQ(text.p_paddr, 0x200000U);
  EXPECT_EQ(text.p_offset, high.p_offset + 0x100000);
  EXPECT_EQ(text.p_memsz, text.p_filesz + 4096) << "Volatility skips it";
  EXPECT_EQ(program_header(bytes, 4).p_type, static_cast<unsigned>(PT_NULL));
}

TEST(ElfCore, NoNotesOrTooMany_NoneAndTheSameSize) {
  const ElfCoreShape shape{.ranges = 2, .max_note_bytes = 16};
  for (const std::size_t count : {0U, 17U}) {
    const auto bytes = elf_core_header(shape, {.ranges = kRanges, .notes = std::vector<std::byte>(count)});
    EXPECT_EQ(bytes.size(), shape.header_bytes());
    EXPECT_EQ(program_header(bytes, 0).p_type, static_cast<unsigned>(PT_NULL));
    EXPECT_EQ(program_header(bytes, 1).p_type, static_cast<unsigned>(PT_LOAD));
  }
}

TEST(ElfCore, VirtualRangesOutsideOrTooMany_LeftOut) {
  const ElfCoreShape shape{.ranges = 2, .max_virtual = 1};
  const ElfVirtualRange over_the_hole{{Gpa{0x9f000}, Gpa{0xa1000}}, 1};
  const ElfVirtualRange good{{Gpa{0}, Gpa{0x1000}}, 2};
  EXPECT_EQ(program_header(elf_core_header(shape, {.ranges = kRanges, .virtual_ranges = {over_the_hole}}), 3)
                .p_type,
            static_cast<unsigned>(PT_NULL));
  EXPECT_EQ(elf_core_header(shape, {.ranges = kRanges, .virtual_ranges = {good, good, good}}),
            elf_core_header(shape, {.ranges = kRanges, .virtual_ranges = {good}}));
}

TEST(ElfCore, MoreHeadersThanCanBeCounted_NumberIsInASection) {
  std::vector<GpaRange> ranges;
  for (std::uint64_t i = 0; i < 0xfffe; ++i) {
    ranges.push_back({Gpa{i * 0x2000}, Gpa{i * 0x2000 + 0x1000}});
  }
  const auto bytes = elf_core_header({.ranges = ranges.size()}, {.ranges = ranges});
  const auto header = at<Elf64_Ehdr>(bytes, 0);
  EXPECT_EQ(header.e_phnum, PN_XNUM);
  EXPECT_EQ(header.e_shnum, 1U);
  EXPECT_EQ(at<Elf64_Shdr>(bytes, header.e_shoff).sh_info, 0xffffU);
  EXPECT_EQ(program_header(bytes, 0xfffe).p_paddr, ranges.back().begin.value());

  ranges.pop_back();
  const auto fewer = elf_core_header({.ranges = ranges.size()}, {.ranges = ranges});
  EXPECT_EQ(at<Elf64_Ehdr>(fewer, 0).e_phnum, 0xfffeU);
  EXPECT_EQ(at<Elf64_Ehdr>(fewer, 0).e_shnum, 0U);
}

} // namespace
} // namespace vmemfs
