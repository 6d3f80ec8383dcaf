// SPDX-License-Identifier: MIT
// Cores of Xen, made here as Xen's docs/misc/dump-core-format.txt describes them: none that Xen itself wrote.
#include "arch/x86_64/registers.h"
#include "image/image_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using x86_64::Register;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kContext = 5168;

struct Section {
  std::string name;
  std::string content;
  std::uint64_t entry_bytes = 0;
};

/// Headers, contents and names follow one another; returns the file.
std::string xen_core(const std::vector<Section>& sections) {
  std::string names(1, '\0');
  std::string contents;
  std::string headers(sizeof(Elf64_Shdr), '\0');
  const std::size_t begin = sizeof(Elf64_Ehdr) + (sections.size() + 2) * sizeof(Elf64_Shdr);
  const auto add = [&](const Section& section, std::size_t size) {
    Elf64_Shdr header{};
    header.sh_name = static_cast<Elf64_Word>(names.size());
    header.sh_offset = begin + contents.size();
    header.sh_size = size;
    header.sh_entsize = section.entry_bytes;
    headers += bytes_of(header);
    names += section.name + '\0';
    contents += section.content;
  };
  for (const Section& section : sections) {
    add(section, section.content.size());
  }
  add({".shstrtab", ""}, names.size() + sizeof(".shstrtab"));
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_CORE;
  header.e_machine = EM_X86_64;
  header.e_shoff = sizeof header;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<Elf64_Half>(sections.size() + 2);
  header.e_shstrndx = static_cast<Elf64_Half>(sections.size() + 1);
  return bytes_of(header) + headers + contents + names;
}

std::string context() {
  std::string bytes(kContext, '\0');
  bytes = with(with(with(bytes, 600, 0x1111, 8), 648, 0xffffffff81000000, 8), 672, 0x2222, 8);
  return with(bytes, 5008, 0x3000, 8);
}

const std::string kPages = std::string(kPage, 'a') + std::string(kPage, 'b') + std::string(kPage, 'c');

std::string hvm_core() {
  return xen_core({{".xen_prstatus", context() + context(), kContext},
                   {".xen_pages", kPages},
                   {".xen_pfn", number(0, 8) + number(1, 8) + number(0x100, 8)}});
}

TEST(XenCore, OfHvm_HasPagesAndRegisters) {
  const auto image = open_bytes(hvm_core());
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_EQ(image->description, "core of Xen");
  ASSERT_EQ(image->extents.size(), 2U);
  EXPECT_EQ(image->extents[0].range, (GpaRange{Gpa{0}, Gpa{2 * kPage}}));
  EXPECT_EQ(image->extents[1].range, (GpaRange{Gpa{0x100 * kPage}, Gpa{0x101 * kPage}}));
  EXPECT_EQ(hvm_core().at(image->extents[1].offset), 'c');
  ASSERT_EQ(image->registers.size(), 2U);
  EXPECT_EQ(image->registers[1].get(Register::rax), 0x1111U);
  EXPECT_EQ(image->registers[1].get(Register::rip), 0xffffffff81000000U);
  EXPECT_EQ(image->registers[1].get(Register::rsp), 0x2222U);
  EXPECT_EQ(image->registers[1].get(Register::cr3), 0x3000U);
}

TEST(XenCore, OfPv_HasPagesByTheirGuestNumbers) {
  const std::string unused(8, '\xff');
  const auto image = open_bytes(xen_core(
      {{".xen_prstatus", context(), kContext},
       {".xen_pages", kPages},
       {".xen_p2m", number(7, 8) + number(0x9999, 8) + number(6, 8) + number(0x8888, 8) + unused + unused}}));
  ASSERT_TRUE(image) << image.error().text;
  EXPECT_EQ(image->description, "core of Xen (PV)");
  ASSERT_EQ(image->extents.size(), 2U);
  EXPECT_EQ(image->extents[0].range.begin, Gpa{6 * kPage});
  EXPECT_EQ(image->extents[0].offset, image->extents[1].offset + kPage);
  EXPECT_FALSE(image->registers.at(0).get(Register::cr3)) << "a number of the host's";
}

TEST(XenCore, CutAnywhere_SaysWhy) {
  const std::string whole = hvm_core();
  for (std::size_t size = 64; size + 100 < whole.size(); size += 509) {
    const auto image = open_bytes(std::string_view{whole}.substr(0, size));
    ASSERT_FALSE(image) << size;
    EXPECT_THAT(image.error().text, HasSubstr("cut off")) << size;
  }
}

TEST(XenCore, HostileNumbers_AreRefused) {
  EXPECT_FALSE(open_bytes(xen_core({{".xen_pages", kPages}, {".xen_pfn", number(0, 8)}}))) << "short list";
  EXPECT_FALSE(open_bytes(xen_core({{".xen_pages", kPages}}))) << "no list";
  EXPECT_FALSE(open_bytes(xen_core(
      {{".xen_pages", kPages}, {".xen_pfn", number(std::uint64_t{1} << 52, 8) + std::string(16, '\0')}})))
      << "page number";
  const std::string core = hvm_core();
  EXPECT_FALSE(open_bytes(with(core, offsetof(Elf64_Ehdr, e_shoff), ~std::uint64_t{0}, 8)));
  EXPECT_FALSE(open_bytes(with(core, offsetof(Elf64_Ehdr, e_shnum), 0xffff, 2)));
  EXPECT_FALSE(open_bytes(with(core, offsetof(Elf64_Ehdr, e_shstrndx), 0xffff, 2)));
}

} // namespace
} // namespace vmemfs::test
