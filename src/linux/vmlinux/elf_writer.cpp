// SPDX-License-Identifier: MIT
#include "linux/vmlinux/elf_writer.h"

#include <algorithm>
#include <cassert>
#include <elf.h>
#include <utility>

namespace vmemfs {
namespace {

/// Room for the ELF header and all program headers, which are made at the end.
constexpr std::uint64_t kHeaderBytes = kPageSize;
static_assert(sizeof(Elf64_Ehdr) + 2 * ElfWriter::kMaxSections * sizeof(Elf64_Phdr) <= kHeaderBytes);

constexpr std::uint64_t kTableAlign = 8;
constexpr std::uint64_t kNoteAlign = 4;

bool is_in_memory(const ElfSection& section) { return (section.flags & SHF_ALLOC) != 0; }

std::uint64_t alignment(const ElfSection& section) {
  if (section.type == SHT_NOTE) { // says how far the notes are from one another
    return kNoteAlign;
  }
  if (is_in_memory(section)) {
    return section.address == 0 ? kPageSize : std::min(kPageSize, section.address & -section.address);
  }
  return section.entry_bytes != 0 ? kTableAlign : 1;
}

std::uint32_t segment_flags(const ElfSection& section) {
  return PF_R | ((section.flags & SHF_WRITE) != 0 ? PF_W : 0U) |
         ((section.flags & SHF_EXECINSTR) != 0 ? PF_X : 0U);
}

} // namespace

ElfWriter::ElfWriter(ElfMachine machine) : machine_{machine} {
  made_.zeros(kHeaderBytes);
  layout_.add_made(kHeaderBytes);
  sections_.push_back({}); // the null section that every file has
}

std::uint32_t ElfWriter::place(const ElfSection& section, std::uint64_t bytes) {
  assert(sections_.size() < kMaxSections);
  // Pages of the file are then pages of memory, so tools can map them.
  const std::uint64_t padding =
      is_in_memory(section) ? (section.address - layout_.size()) % kPageSize : -layout_.size() % kTableAlign;
  made_.zeros(padding);
  layout_.add_made(padding);
  sections_.push_back({section, layout_.size(), bytes});
  return static_cast<std::uint32_t>(sections_.size() - 1);
}

std::uint32_t ElfWriter::add_guest(const ElfSection& section, const GpaRange& content) {
  const std::uint32_t index = place(section, content.size());
  layout_.add_guest(content);
  return index;
}

std::uint32_t ElfWriter::add_made(const ElfSection& section, std::span<const std::byte> content) {
  const std::uint32_t index = place(section, content.size());
  made_.append(content);
  layout_.add_made(content.size());
  return index;
}

std::uint32_t ElfWriter::add_zeros(const ElfSection& section, std::uint64_t bytes) {
  const std::uint32_t index = place(section, bytes);
  made_.zeros(bytes);
  layout_.add_made(bytes);
  return index;
}

std::uint32_t ElfWriter::add_without_content(const ElfSection& section, std::uint64_t bytes) {
  return place(section, bytes);
}

ElfFile ElfWriter::finish() && {
  ByteWriter names;
  std::vector<std::uint32_t> name_offsets;
  constexpr std::string_view kNames = ".shstrtab";
  for (const Placed& placed : sections_) {
    name_offsets.push_back(static_cast<std::uint32_t>(names.size()));
    names.text(placed.section.name);
  }
  name_offsets.push_back(static_cast<std::uint32_t>(names.size()));
  names.text(kNames);
  add_made({.name = kNames, .type = SHT_STRTAB}, names.bytes());
  const std::uint64_t headers = write_section_headers(name_offsets);
  write_elf_header(headers, write_program_headers());
  return {std::move(layout_), std::move(made_).take()};
}

std::uint64_t ElfWriter::write_section_headers(std::span<const std::uint32_t> names) {
  const std::uint64_t padding = -layout_.size() % kTableAlign;
  made_.zeros(padding);
  for (std::size_t i = 0; i < sections_.size(); ++i) {
    const auto& [section, offset, bytes] = sections_[i];
    made_.number(names[i]);
    made_.number(section.type);
    made_.number(section.flags);
    made_.number(section.address);
    made_.number(offset);
    made_.number(bytes);
    made_.number(section.link);
    made_.number(section.info);
    made_.number(i == 0 ? std::uint64_t{0} : alignment(section));
    made_.number(section.entry_bytes);
  }
  const std::uint64_t begin = layout_.size() + padding;
  layout_.add_made(padding + sections_.size() * sizeof(Elf64_Shdr));
  return begin;
}

std::size_t ElfWriter::write_program_headers() {
  ByteWriter headers;
  const auto add = [&](std::uint32_t type, const Placed& placed) {
    headers.number(type);
    headers.number(segment_flags(placed.section));
    headers.number(placed.offset);
    headers.number(placed.section.address);
    headers.number(placed.section.address); // in physical memory, which differs from boot to boot
    headers.number(placed.section.type == SHT_NOBITS ? std::uint64_t{0} : placed.bytes);
    headers.number(placed.bytes);
    headers.number(type == PT_LOAD ? kPageSize : kNoteAlign);
  };
  for (const Placed& placed : sections_) {
    if (is_in_memory(placed.section)) {
      add(PT_LOAD, placed);
    }
  }
  for (const Placed& placed : sections_) {
    if (placed.section.type == SHT_NOTE) {
      add(PT_NOTE, placed);
    }
  }
  made_.overwrite(sizeof(Elf64_Ehdr), headers.bytes());
  return headers.size() / sizeof(Elf64_Phdr);
}

void ElfWriter::write_elf_header(std::uint64_t section_headers, std::size_t program_headers) {
  ByteWriter header;
  constexpr std::uint8_t kIdent[] = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
  header.append(std::as_bytes(std::span{kIdent}));
  header.zeros(EI_NIDENT - header.size());
  header.number(std::uint16_t{ET_EXEC});
  header.number(static_cast<std::uint16_t>(machine_));
  header.number(std::uint32_t{EV_CURRENT});
  header.number(std::uint64_t{0}); // no entry
  header.number(std::uint64_t{sizeof(Elf64_Ehdr)});
  header.number(section_headers);
  header.number(std::uint32_t{0}); // no flags
  header.number(std::uint16_t{sizeof(Elf64_Ehdr)});
  header.number(std::uint16_t{sizeof(Elf64_Phdr)});
  header.number(static_cast<std::uint16_t>(program_headers));
  header.number(std::uint16_t{sizeof(Elf64_Shdr)});
  header.number(static_cast<std::uint16_t>(sections_.size()));
  header.number(static_cast<std::uint16_t>(sections_.size() - 1)); // the names are in the last one
  made_.overwrite(0, header.bytes());
}

} // namespace vmemfs
