// SPDX-License-Identifier: MIT
// The symbols and types of a kernel of which a vmlinux is made. Lines of text say where the image is and
// which symbols it has: "ADDRESS SIZE OFFSET", and "ADDRESS TYPE NAME" for each symbol, up to an empty line.
// The bytes behind are the types of a BTF; header and names are made around them.
#include "fuzz/fuzz_target.h"
#include "linux/btf/types.h"
#include "linux/btf_builder.h"
#include "linux/symbols/kernel_symbols.h"
#include "linux/vmlinux/vmlinux.h"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <elf.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using vmemfs::Gpa;
using vmemfs::ImageLayout;
using vmemfs::fuzz::expect;
using Source = ImageLayout::Source;

constexpr std::string_view kNames{"\0a\0init_task\0task_struct\0_text\0runqueues\0char\0unsigned int\0", 59};
constexpr std::uint64_t kMaxBytes = 32U << 20U; // larger ones only make the fuzzer slow

std::string_view cut(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return piece;
}

std::uint64_t cut_number(std::string_view& line) {
  const std::string_view piece = cut(line, ' ');
  std::uint64_t number = 0;
  std::from_chars(piece.data(), piece.data() + piece.size(), number, 16);
  return number;
}

vmemfs::KernelSymbols cut_symbols(std::string_view& text) {
  std::vector<vmemfs::KernelSymbols::Entry> entries;
  std::string names;
  for (std::string_view line = cut(text, '\n'); !line.empty(); line = cut(text, '\n')) {
    const std::uint64_t address = cut_number(line);
    const std::string_view type = cut(line, ' ');
    names += line;
    entries.push_back({address, static_cast<std::uint32_t>(names.size()), type.empty() ? 't' : type.front()});
  }
  return {std::move(entries), std::move(names)};
}

/// The file with zeros instead of the guest's memory.
std::vector<std::byte> content(const vmemfs::ElfFile& file, const vmemfs::GpaRange& image) {
  std::vector<std::byte> bytes(file.layout.size());
  for (const auto& part : file.layout.parts_from(0)) {
    if (part.source == Source::made) {
      expect(part.source_begin + part.size() <= file.made.size(), "made bytes exist");
      std::memcpy(bytes.data() + part.begin, file.made.data() + part.source_begin, part.size());
    } else {
      expect(image.begin.value() <= part.source_begin && part.source_begin + part.size() <= image.end.value(),
             "guest memory is the image's");
    }
  }
  return bytes;
}

template <typename T> T structure_at(const std::vector<std::byte>& bytes, std::uint64_t offset) {
  T found{};
  expect(offset <= bytes.size() && sizeof found <= bytes.size() - offset, "a header is in the file");
  std::memcpy(&found, bytes.data() + offset, sizeof found);
  return found;
}

void check_sections(const std::vector<std::byte>& bytes) {
  const auto header = structure_at<Elf64_Ehdr>(bytes, 0);
  expect(header.e_shstrndx + 1 == header.e_shnum, "the names are in the last section");
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const auto section = structure_at<Elf64_Shdr>(bytes, header.e_shoff + i * sizeof(Elf64_Shdr));
    expect(section.sh_type == SHT_NOBITS ||
               (section.sh_offset <= bytes.size() && section.sh_size <= bytes.size() - section.sh_offset),
           "a section is in the file");
    expect(section.sh_link < header.e_shnum, "a linked section exists");
    if (section.sh_type == SHT_SYMTAB) {
      for (std::uint64_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
        const auto symbol = structure_at<Elf64_Sym>(bytes, section.sh_offset + at);
        expect(symbol.st_shndx == SHN_ABS || symbol.st_shndx < header.e_shnum, "a symbol's section exists");
      }
    }
  }
}

} // namespace

FUZZ_TARGET(text) {
  std::string_view rest = text;
  std::string_view line = cut(rest, '\n');
  const std::uint64_t address = cut_number(line);
  const std::uint64_t size = cut_number(line) % kMaxBytes;
  const std::uint64_t offset = cut_number(line);
  const vmemfs::KernelSymbols symbols = cut_symbols(rest);
  const auto* const bytes = reinterpret_cast<const std::byte*>(rest.data());
  const auto types = vmemfs::btf::Types::parse(vmemfs::BtfBuilder::whole({bytes, rest.size()}, kNames));
  const vmemfs::GpaRange image{Gpa{vmemfs::kPageSize}, Gpa{vmemfs::kPageSize + size}};
  const vmemfs::ElfFile file = vmemfs::make_vmlinux({.symbols = symbols,
                                                     .types = types ? types->get() : nullptr,
                                                     .image = image,
                                                     .image_address = address,
                                                     .kaslr_offset = offset,
                                                     .build_id = std::string{line}});
  expect(file.made.size() == file.layout.made_bytes(), "made bytes are as many as the layout has");
  if (file.layout.size() <= kMaxBytes) {
    check_sections(content(file, image));
  }
}
