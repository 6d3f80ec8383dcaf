// SPDX-License-Identifier: MIT
// Read back with binutils, which know nothing of how the file was made.
#include "linux/small_kernel.h"
#include "linux/vmlinux/vmlinux.h"
#include "support/child_process.h"
#include "support/files.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <utility>

namespace vmemfs::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

template <typename T> T structure_at(const std::string& bytes, std::uint64_t offset) {
  T found{};
  EXPECT_LE(offset + sizeof found, bytes.size());
  std::memcpy(&found, bytes.data() + offset, sizeof found);
  return found;
}

std::map<std::string, Elf64_Shdr> sections_of(const std::string& bytes) {
  const auto header = structure_at<Elf64_Ehdr>(bytes, 0);
  const auto at = [&](std::size_t index) {
    return structure_at<Elf64_Shdr>(bytes, header.e_shoff + index * sizeof(Elf64_Shdr));
  };
  const Elf64_Shdr names = at(header.e_shstrndx);
  std::map<std::string, Elf64_Shdr> sections;
  for (std::size_t i = 1; i < header.e_shnum; ++i) {
    sections[bytes.c_str() + names.sh_offset + at(i).sh_name] = at(i);
  }
  return sections;
}

std::string readelf(const std::string& option, const std::string& bytes) {
  const TempDir directory;
  write_file(directory / "vmlinux", bytes);
  const RunResult result = run({"readelf", "-W", option, directory / "vmlinux"});
  EXPECT_EQ(result.code, 0) << result.text;
  EXPECT_THAT(result.text, Not(ContainsRegex("[Ww]arning|[Ee]rror:")));
  return result.text;
}

TEST(Vmlinux, SectionsInMemory_HaveTheGuestsBytesAtLinkedAddresses) {
  const SmallKernel kernel;
  const std::string file = kernel.content(kernel.make());
  const auto sections = sections_of(file);
  const std::array<std::pair<std::string, std::pair<std::uint64_t, std::uint64_t>>, 5> expected{{
      {".text", {0, 0x1ff2}},
      {".rodata", {0x2000, 0x1a70}}, // up to the notes, which are in it
      {".notes", {0x3a70, 0x24}},
      {".BTF", {0x3aa0, 0x560}},
      {".data", {0x6000, 0x1800}},
  }};
  for (const auto& [name, place] : expected) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(sections.contains(name));
    const Elf64_Shdr& section = sections.at(name);
    EXPECT_EQ(section.sh_addr, SmallKernel::kLinked + place.first);
    ASSERT_EQ(section.sh_size, place.second);
    EXPECT_EQ(section.sh_offset % kPageSize, section.sh_addr % kPageSize);
    EXPECT_EQ(std::memcmp(file.data() + section.sh_offset, kernel.memory.data() + place.first, place.second),
              0);
  }
}

TEST(Vmlinux, FreedAndUnwrittenSections_HaveNoneOfTheGuestsBytes) {
  const SmallKernel kernel;
  const std::string file = kernel.content(kernel.make());
  const auto sections = sections_of(file);
  const Elf64_Shdr init = sections.at(".init.text");
  EXPECT_EQ(init.sh_type, unsigned{SHT_PROGBITS});
  EXPECT_EQ(file.substr(init.sh_offset, init.sh_size), std::string(0x800, '\0'));
  EXPECT_EQ(sections.at(".bss").sh_type, unsigned{SHT_NOBITS});
  EXPECT_EQ(sections.at(".bss").sh_size, 0x2000U);
}

TEST(Vmlinux, ProgramHeaders_AreTheKernelsFirstAndLast_AreaOfACpuBetween) {
  const SmallKernel kernel;
  const std::string text = readelf("-l", kernel.content(kernel.make()));
  EXPECT_THAT(text, ContainsRegex("LOAD +0x[0-9a-f]+ 0xffffffff81000000 [^\n]*\n"
                                  " +LOAD +0x[0-9a-f]+ 0x0000000000000000 0x0000000000000000 0x000088 "));
  EXPECT_THAT(text, ContainsRegex("LOAD +0x[0-9a-f]+ 0xffffffff81009000 [^\n]*\n +NOTE "));
}

TEST(Vmlinux, Symbols_AreAsTheKernelHasThem) {
  const SmallKernel kernel;
  const std::string text = readelf("-s", kernel.content(kernel.make()));
  EXPECT_THAT(text, ContainsRegex("ffffffff81000100 +128 FUNC +GLOBAL DEFAULT +1 open_file\n"));
  EXPECT_THAT(text, ContainsRegex("ffffffff81000180 +64 FUNC +LOCAL +DEFAULT +1 twice\n"));
  EXPECT_THAT(text, ContainsRegex("ffffffff81000200 +[0-9]+ FUNC +WEAK +DEFAULT +1 weak\n"));
  EXPECT_THAT(text, ContainsRegex("ffffffff81001ff2 +0 FUNC +GLOBAL DEFAULT +1 _etext\n"));
  EXPECT_THAT(text, ContainsRegex("0000000000000040 +64 OBJECT +GLOBAL DEFAULT +2 this_cpu\n"));
  EXPECT_THAT(text, ContainsRegex("ffffffff81006010 +48 OBJECT +LOCAL +DEFAULT +6 init_task\n"));
}

TEST(Vmlinux, Notes_HaveTheKernelsBuildId) {
  const SmallKernel kernel;
  EXPECT_THAT(readelf("-n", kernel.content(kernel.make())),
              HasSubstr("Build ID: fedcba9876543210fedcba9876543210fedcba98"));
}

TEST(Vmlinux, NoNotes_BuildIdIsMade) {
  SmallKernel kernel;
  kernel.erase("__stop_notes");
  EXPECT_THAT(readelf("-n", kernel.content(kernel.make())), HasSubstr("Build ID: " + kernel.build_id));
  kernel.build_id = "not hexadecimal!";
  EXPECT_FALSE(sections_of(kernel.content(kernel.make())).contains(".note.gnu.build-id"));
}

TEST(Vmlinux, MarkersMissing_SectionsAreLeftOut) {
  for (const auto& [marker, section] : {std::pair{"_etext", ".text"},
                                        {"__start_rodata", ".rodata"},
                                        {"_sdata", ".data"},
                                        {"_einittext", ".init.text"},
                                        {"__bss_stop", ".bss"},
                                        {"__per_cpu_end", ".data..percpu"}}) {
    SCOPED_TRACE(marker);
    SmallKernel kernel;
    ASSERT_TRUE(sections_of(kernel.content(kernel.make())).contains(section));
    kernel.erase(marker);
    const std::string file = kernel.content(kernel.make());
    EXPECT_FALSE(sections_of(file).contains(section));
    EXPECT_THAT(readelf("-a", file), HasSubstr("open_file"));
  }
}

TEST(Vmlinux, BtfNotPlaced_ItsBytesAreInTheFile) {
  SmallKernel kernel;
  kernel.btf.integer("int", 4, BtfBuilder::kSigned);
  kernel.erase("__stop_BTF");
  const std::string file = kernel.content(kernel.make());
  const Elf64_Shdr section = sections_of(file).at(".BTF");
  const std::vector<std::byte> bytes = kernel.btf.bytes();
  EXPECT_EQ(section.sh_addr, 0U);
  EXPECT_EQ(file.substr(section.sh_offset, section.sh_size),
            (std::string{reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
}

TEST(Vmlinux, TypesUnknown_SymbolsOnly) {
  const SmallKernel kernel;
  const std::string file = kernel.content(kernel.make(false));
  EXPECT_FALSE(sections_of(file).contains(".debug_info"));
  EXPECT_THAT(readelf("-s", file), HasSubstr("open_file"));
}

TEST(Vmlinux, SectionOutsideTheImage_IsLeftOut) {
  SmallKernel kernel;
  kernel.image.end = SmallKernel::kMemory + 0x7000; // cuts .data
  const auto sections = sections_of(kernel.content(kernel.make()));
  EXPECT_TRUE(sections.contains(".text"));
  EXPECT_FALSE(sections.contains(".data"));
  EXPECT_FALSE(sections.contains(".bss"));
}

TEST(Vmlinux, ImageNowhere_FileHasSymbols) {
  SmallKernel kernel;
  kernel.image = {};
  const std::string file = kernel.content(kernel.make());
  EXPECT_FALSE(sections_of(file).contains(".text"));
  EXPECT_THAT(readelf("-s", file), HasSubstr("open_file"));
}

TEST(Vmlinux, MadeBytes_AreAsManyAsTheLayoutHas) {
  const SmallKernel kernel;
  const ElfFile file = kernel.make();
  EXPECT_EQ(file.made.size(), file.layout.made_bytes());
  EXPECT_EQ(file.layout.size() - file.made.size(), 0x1ff2U + 0x1a70 + 0x24 + 0x560 + 0x1800);
}

} // namespace
} // namespace vmemfs::test
