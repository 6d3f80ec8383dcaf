// SPDX-License-Identifier: MIT
#include "arch/aarch64/registers.h"
#include "arch/riscv64/registers.h"
#include "arch/x86_64/registers.h"
#include "image_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::size_t kHeaders = sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr);

ElfParts two_ranges() {
  return {.ranges = {{0x100000, std::string(0x3000, 'h')}, {0, std::string(0x2000, 'l')}}};
}

constexpr std::size_t segment(std::size_t index, std::size_t field) {
  return sizeof(Elf64_Ehdr) + index * sizeof(Elf64_Phdr) + field;
}

TEST(ElfImage, BothClasses_HaveTheirRangesSorted) {
  const auto wide = open_bytes(elf64_core(two_ranges()));
  ASSERT_TRUE(wide) << wide.error().text;
  EXPECT_THAT(wide->extents,
              ElementsAre(stored(0, 0x2000, kHeaders + 0x3000), stored(0x100000, 0x103000, kHeaders)));
  EXPECT_EQ(wide->description, "ELF core");
  const auto narrow = open_bytes(elf32_core(two_ranges()), "elf");
  ASSERT_TRUE(narrow) << narrow.error().text;
  EXPECT_THAT(narrow->extents, ElementsAre(stored(0, 0x2000, 148 + 0x3000), stored(0x100000, 0x103000, 148)));
}

TEST(ElfImage, MoreMemoryThanBytes_RestIsAbsent) {
  ElfParts parts{.ranges = {{0x1000, std::string(0x1000, 'x')}}, .more_memory = 0x5000};
  const auto image = open_bytes(elf64_core(parts));
  ASSERT_TRUE(image);
  ASSERT_EQ(image->extents.size(), 2U);
  EXPECT_EQ(image->extents[1].kind, ExtentKind::absent);
  EXPECT_EQ(image->extents[1].range, (GpaRange{Gpa{0x2000}, Gpa{0x7000}}));
  EXPECT_EQ(image->first_missing, std::nullopt);
}

/// As a core has memory at virtual addresses, too.
TEST(ElfImage, MemoryAgain_AddsNothing) {
  const std::string twice = with(elf64_core(two_ranges()), segment(2, 24), 0x100000, 8);
  const auto image = open_bytes(with(twice, segment(2, 40), 0x4000, 8));
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_THAT(image->extents, ElementsAre(stored(0x100000, 0x103000, kHeaders)));
}

TEST(ElfImage, CutAnywhere_OpensOrSaysWhy) {
  const std::string whole = elf64_core(two_ranges());
  for (std::size_t size = SELFMAG; size < whole.size(); size += size < kHeaders + 8 ? 1 : 509) {
    const auto image = open_bytes(std::string_view{whole}.substr(0, size));
    if (size < kHeaders) {
      ASSERT_FALSE(image) << size;
      EXPECT_THAT(image.error().text, HasSubstr("is cut off within its")) << size;
    } else {
      ASSERT_TRUE(image) << size;
      // The range at 0 is the last of the file.
      EXPECT_EQ(image->first_missing, Gpa{size < kHeaders + 0x3000 ? 0 : size - kHeaders - 0x3000}) << size;
    }
  }
}

TEST(ElfImage, HostileHeaders_AreRefused) {
  const std::string good = elf64_core(two_ranges());
  EXPECT_FALSE(open_bytes(with(good, 32, ~0ULL, 8))) << "offset of the program headers";
  EXPECT_FALSE(open_bytes(with(good, 54, 0, 2))) << "size of a program header";
  EXPECT_FALSE(open_bytes(with(good, 56, 0xfffe, 2))) << "number of program headers";
  EXPECT_FALSE(open_bytes(with(good, 56, 0xffff, 2))) << "number in a section header that is missing";
  EXPECT_FALSE(open_bytes(with(good, segment(1, 40), ~0ULL, 8).replace(segment(1, 32), 8, number(~0ULL, 8))))
      << "a range that wraps";
  EXPECT_FALSE(open_bytes(with(good, 16, ET_EXEC, 2))) << "a program";
  EXPECT_FALSE(open_bytes(with(good, EI_DATA, ELFDATA2MSB, 1))) << "big-endian";
}

TEST(ElfImage, OffsetBeyondFile_IsAbsent) {
  const auto image = open_bytes(with(elf64_core(two_ranges()), segment(1, 8), ~0ULL - 4096, 8));
  ASSERT_TRUE(image);
  EXPECT_EQ(image->extents.back().kind, ExtentKind::absent);
  EXPECT_EQ(image->first_missing, Gpa{0x100000});
}

TEST(ElfImage, CoreOfProcess_IsRefused) {
  const auto image = open_bytes(elf64_core({.ranges = {{0, "one"}, {0, "two"}}}));
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().text, HasSubstr("core of a process"));
}

TEST(ElfImage, PrstatusNotes_GiveGeneralRegistersOfEachVcpu) {
  using x86_64::Register;
  std::string first(336, '\0');
  first.replace(112 + 8 * 16, 8, number(0xffffffff81000000, 8));
  std::string second(336, '\0');
  second.replace(112 + 8 * 10, 8, number(0x1234, 8));
  ElfParts parts = two_ranges();
  parts.notes = note("CORE", 1, first) + note("VMCOREINFO", 0, "OSRELEASE=6.1") + note("CORE", 1, second);
  const auto image = open_bytes(elf64_core(parts));
  ASSERT_TRUE(image);
  EXPECT_EQ(image->description, "ELF core of Linux");
  EXPECT_EQ(image->release, "6.1");
  ASSERT_EQ(image->registers.size(), 2U);
  EXPECT_EQ(image->registers[0].get(Register::rip), 0xffffffff81000000);
  EXPECT_EQ(image->registers[1].get(Register::rax), 0x1234U);
  EXPECT_EQ(image->registers[1].get(Register::cr3), std::nullopt);
}

TEST(ElfImage, Vmcoreinfo_SaysTheReleaseIfThatIsOne) {
  const std::string longest(64, 'x');
  const std::vector<std::pair<std::string, std::string>> texts{
      {"OSRELEASE=6.1.0-1-amd64\nBUILD-ID=12\n", "6.1.0-1-amd64"},
      {std::string{"OSRELEASE=6\0x", 13}, "6"},
      {"OSRELEASE=" + longest + '\n', longest},
      {"OSRELEASE=" + longest + "x\n", ""},
      {"OSRELEASE=", ""},
      {"BUILD-ID=12\nOSRELEASE=6.1\n", ""},
      {"", ""}};
  for (const auto& [text, release] : texts) {
    ElfParts parts = two_ranges();
    parts.notes = note("VMCOREINFO", 0, text);
    const auto image = open_bytes(elf64_core(parts));
    ASSERT_TRUE(image);
    EXPECT_EQ(image->release, release) << text;
  }
}

TEST(ElfImage, PrstatusOfAarch64_GivesItsRegisters) {
  using aarch64::Register;
  std::string status(392, '\0');
  status.replace(112 + 8 * 30, 8, number(30, 8)).replace(112 + 8 * 32, 8, number(0x40080000, 8));
  ElfParts parts = two_ranges();
  parts.machine = EM_AARCH64;
  parts.notes = note("CORE", 1, status);
  const auto image = open_bytes(elf64_core(parts));
  ASSERT_TRUE(image);
  ASSERT_EQ(image->registers.size(), 1U);
  EXPECT_EQ(image->registers[0].get(Register::x30), 30U);
  EXPECT_EQ(image->registers[0].get(Register::pc), 0x40080000U);
}

TEST(ElfImage, PrstatusOfRiscv64_GivesItsRegisters) {
  using riscv64::Register;
  std::string status(376, '\0');
  status.replace(112, 8, number(0x80000408, 8)).replace(112 + 8 * 31, 8, number(31, 8));
  ElfParts parts = two_ranges();
  parts.machine = EM_RISCV;
  parts.notes = note("CORE", 1, status);
  const auto image = open_bytes(elf64_core(parts));
  ASSERT_TRUE(image);
  ASSERT_EQ(image->registers.size(), 1U);
  EXPECT_EQ(image->registers[0].get(Register::t6), 31U);
  EXPECT_EQ(image->registers[0].get(Register::pc), 0x80000408U);
  EXPECT_EQ(image->registers[0].get(Register::zero), std::nullopt);
}

/// Those of 32-bit RISC-V have 204 bytes.
TEST(ElfImage, PrstatusOfAnotherSize_HasNoRegistersOfRiscv64) {
  for (const std::size_t size : {204U, 375U, 384U}) {
    ElfParts parts = two_ranges();
    parts.machine = EM_RISCV;
    parts.notes = note("CORE", 1, std::string(size, '\1'));
    const auto image = open_bytes(elf64_core(parts));
    ASSERT_TRUE(image);
    EXPECT_TRUE(image->registers.empty()) << size;
  }
}

TEST(ElfImage, NotesOfVirtualBox_GiveSystemRegisters) {
  using x86_64::Register;
  std::string cpu(8768, '\0');
  cpu.replace(304, 8, number(0x1aa000, 8))
      .replace(112, 8, number(0x400123, 8))
      .replace(144, 8, number(0x5000, 8));
  cpu.replace(152, 4, number(0xffff, 4)).replace(160, 2, number(0x10, 2));
  ElfParts parts = two_ranges();
  parts.notes = note("VBCORE", 0xb00, std::string(24, '\0')) + note("VBCPU", 0xb01, cpu);
  const auto image = open_bytes(elf64_core(parts));
  ASSERT_TRUE(image);
  EXPECT_EQ(image->description, "ELF core of VirtualBox");
  ASSERT_EQ(image->registers.size(), 1U);
  EXPECT_EQ(image->registers[0].get(Register::cr3), 0x1aa000U);
  EXPECT_EQ(image->registers[0].get(Register::rip), 0x400123U);
  EXPECT_EQ(image->registers[0].get(Register::cs_base), 0x5000U);
  EXPECT_EQ(image->registers[0].get(Register::cs_limit), 0xffffU);
  EXPECT_EQ(image->registers[0].get(Register::cs_selector), 0x10U);
}

TEST(ElfImage, DamagedNotes_AreLeftOut) {
  ElfParts parts = two_ranges();
  parts.notes = note("CORE", 1, std::string(336, '\0'));
  const std::string good = elf64_core(parts);
  for (const std::size_t field : {0U, 4U}) {
    for (const std::uint64_t size : {0xffffffffU, 0xfffffffcU, 0x10000000U, 400U}) {
      const auto image = open_bytes(with(good, kHeaders + field, size, 4));
      ASSERT_TRUE(image) << field << ' ' << size;
      EXPECT_TRUE(image->registers.empty() || size == 400) << field << ' ' << size;
    }
  }
  const auto image = open_bytes(with(good, segment(0, 32), ~0ULL, 8));
  ASSERT_TRUE(image) << "a note segment of all addresses";
}

} // namespace
} // namespace vmemfs::test
