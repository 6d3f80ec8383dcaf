// SPDX-License-Identifier: MIT
#include "drivers/qemu/flat_view/elf_symbols.h"
#include "util/unique_fd.h"
#include "util/work_limit.h"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace vmemfs::qemu {
namespace {

/// An ELF file with one loadable segment, a symbol table and its names.
struct ElfImage {
  Elf64_Ehdr header{};
  Elf64_Phdr segment{};
  Elf64_Shdr sections[3]{};
  Elf64_Sym symbols[4]{};
  char names[40] = "\0xtarget\0other\0undefined_one\0";

  explicit ElfImage(Elf64_Half type = ET_DYN, Elf64_Word table = SHT_DYNSYM) {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = type;
    header.e_phoff = offsetof(ElfImage, segment);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 1;
    header.e_shoff = offsetof(ElfImage, sections);
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 3;
    segment.p_type = PT_LOAD;
    segment.p_offset = 0x1010;
    segment.p_vaddr = 0x401010;
    sections[1].sh_type = table;
    sections[1].sh_offset = offsetof(ElfImage, symbols);
    sections[1].sh_size = sizeof(symbols);
    sections[1].sh_entsize = sizeof(Elf64_Sym);
    sections[1].sh_link = 2;
    sections[2].sh_type = SHT_STRTAB;
    sections[2].sh_offset = offsetof(ElfImage, names);
    sections[2].sh_size = sizeof(names);
    symbols[1].st_name = 2; // the end of "xtarget"
    symbols[1].st_shndx = 5;
    symbols[1].st_value = 0x1234;
    symbols[1].st_size = 104;
    symbols[2].st_name = 9;
    symbols[2].st_shndx = 5;
    symbols[3].st_name = 15;
    symbols[3].st_shndx = SHN_UNDEF;
  }

  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> copy(sizeof *this);
    std::memcpy(copy.data(), this, sizeof *this);
    return copy;
  }
};

Result<ElfSymbol> find(const ElfImage& image, std::string_view name) {
  const auto bytes = image.bytes();
  const auto elf = ElfFile::open(elf_bytes(bytes));
  return elf ? elf->find_symbol(name) : tl::unexpected{elf.error()};
}

TEST(ElfSymbols, SymbolWithSharedNameEnd_IsFound) {
  EXPECT_EQ(find(ElfImage{}, "target").value(), (ElfSymbol{0x1234, 104}));
}

TEST(ElfSymbols, FallsBackToSymtab) {
  const ElfImage image{ET_EXEC, SHT_SYMTAB};
  EXPECT_EQ(find(image, "target").value(), (ElfSymbol{0x1234, 104}));
}

TEST(ElfSymbols, UndefinedAndUnknownSymbolsAreNotFound) {
  for (const char* const name : {"undefined_one", "targe", "nothing", ""}) {
    EXPECT_EQ(find(ElfImage{}, name).error().kind, ErrorKind::not_found) << name;
  }
}

TEST(ElfSymbols, PieAndFirstSegment_AreReported) {
  const auto pie = ElfImage{ET_DYN}.bytes();
  const auto fixed = ElfImage{ET_EXEC}.bytes();
  EXPECT_TRUE(ElfFile::open(elf_bytes(pie))->is_pie());
  EXPECT_FALSE(ElfFile::open(elf_bytes(fixed))->is_pie());
  EXPECT_EQ(ElfFile::open(elf_bytes(pie))->first_load_offset(), 0x1000);
  EXPECT_EQ(ElfFile::open(elf_bytes(pie))->first_load_address(), 0x401000);
}

TEST(ElfSymbols, RefusesOtherFiles) {
  ElfImage image;
  image.header.e_ident[EI_CLASS] = ELFCLASS32;
  EXPECT_EQ(find(image, "target").error().kind, ErrorKind::invalid);
  image = ElfImage{ET_REL};
  EXPECT_EQ(find(image, "target").error().kind, ErrorKind::invalid);
  EXPECT_EQ(ElfFile::open(elf_bytes({})).error().kind, ErrorKind::invalid);
}

TEST(ElfSymbols, RefusesTablesOutOfBounds) {
  constexpr std::uint64_t kFar = ~std::uint64_t{0} - 8;
  const auto expect_invalid = [](auto damage) {
    ElfImage image;
    damage(image);
    const auto found = find(image, "target");
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, ErrorKind::invalid);
  };
  expect_invalid([](ElfImage& i) { i.header.e_phoff = kFar; });
  expect_invalid([](ElfImage& i) { i.header.e_phnum = 0; });
  expect_invalid([](ElfImage& i) { i.header.e_shoff = kFar; });
  expect_invalid([](ElfImage& i) { i.sections[1].sh_offset = kFar; });
  expect_invalid([](ElfImage& i) { i.sections[1].sh_size = kFar; });
  expect_invalid([](ElfImage& i) { i.sections[1].sh_entsize = 1; });
  expect_invalid([](ElfImage& i) { i.sections[1].sh_link = 77; });
  expect_invalid([](ElfImage& i) { i.sections[1].sh_link = 1; });
  expect_invalid([](ElfImage& i) { i.sections[2].sh_offset = kFar; });
  expect_invalid([](ElfImage& i) { i.sections[2].sh_size = kFar; });
}

/// A file in which each of 65,000 sections is a symbol table with the same names.
class ManySymbolTables {
public:
  static constexpr std::uint64_t kNames = std::uint64_t{32} << 20; ///< bytes, as if the file were sparse

  ManySymbolTables() {
    image_.header.e_shoff = kSections;
    image_.header.e_shnum = 65'000;
    image_.sections[2].sh_offset = kNameTable;
    image_.sections[2].sh_size = kNames;
    bytes_ = image_.bytes();
  }

  bool read(std::uint64_t offset, std::span<std::byte> buffer) {
    read_ += buffer.size();
    if (offset >= kNameTable) {
      std::ranges::fill(buffer, std::byte{0});
      return true;
    }
    if (offset >= kSections) {
      const bool is_names = (offset - kSections) / sizeof(Elf64_Shdr) == 2;
      std::memcpy(buffer.data(), &image_.sections[is_names ? 2 : 1], buffer.size());
      return true;
    }
    return elf_bytes(bytes_)(offset, buffer);
  }

  [[nodiscard]] std::uint64_t bytes_read() const { return read_; }

private:
  static constexpr std::uint64_t kSections = std::uint64_t{1} << 20;
  static constexpr std::uint64_t kNameTable = std::uint64_t{1} << 30;

  ElfImage image_;
  std::vector<std::byte> bytes_;
  std::uint64_t read_ = 0;
};

TEST(ElfSymbols, ManySymbolTables_AreNotAllRead) {
  ManySymbolTables file;
  const auto elf = ElfFile::open(
      [&](std::uint64_t offset, std::span<std::byte> buffer) { return file.read(offset, buffer); });
  ASSERT_TRUE(elf) << elf.error().message();
  EXPECT_EQ(elf->find_symbol("target").error().kind, ErrorKind::not_found);
  EXPECT_LT(file.bytes_read(), 2 * ManySymbolTables::kNames);
}

TEST(ElfSymbols, WorkStopped_IsGivenUp) {
  ManySymbolTables file;
  const auto elf = ElfFile::open(
      [&](std::uint64_t offset, std::span<std::byte> buffer) { return file.read(offset, buffer); });
  ASSERT_TRUE(elf) << elf.error().message();
  const std::uint64_t before = file.bytes_read();
  const WorkLimit limit{WorkLimit::Clock::now()};
  EXPECT_EQ(elf->find_symbol("target").error().kind, ErrorKind::timed_out);
  EXPECT_EQ(file.bytes_read(), before);
}

TEST(ElfSymbols, SurvivesRandomDamage) {
  std::mt19937 random{1};
  for (int round = 0; round < 20000; ++round) {
    auto bytes = ElfImage{}.bytes();
    for (int i = 0; i < 4; ++i) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    bytes.resize(bytes.size() - random() % 64);
    if (const auto elf = ElfFile::open(elf_bytes(bytes))) {
      static_cast<void>(elf->find_symbol("target"));
    }
  }
}

/// The addresses are compared with those of the dynamic loader.
TEST(ElfSymbols, ReadsThisProgram) {
  const UniqueFd fd{::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
  const auto elf = ElfFile::open(elf_fd(fd.get()));
  ASSERT_TRUE(elf) << elf.error().message();
  const auto symbol = elf->find_symbol("main");
  ASSERT_TRUE(symbol) << symbol.error().message();
  EXPECT_NE(symbol->value, 0U);
}

} // namespace
} // namespace vmemfs::qemu
