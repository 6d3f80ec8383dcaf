// SPDX-License-Identifier: MIT
// Bytes of image files that tests put together from the formats' descriptions.
#pragma once

#include "image/saved/saved_formats.h"
#include "support/files.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <elf.h>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {

/// Little-endian, with zeros behind if there is space for more than its 8 bytes.
inline std::string number(std::uint64_t value, std::size_t size) {
  std::string bytes(size, '\0');
  std::memcpy(bytes.data(), &value, std::min(size, sizeof value));
  return bytes;
}

/// A file with a number put into it.
inline std::string with(std::string file, std::size_t offset, std::uint64_t value, std::size_t size) {
  return file.replace(offset, size, number(value, size));
}

template <typename T> std::string bytes_of(const T& value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return bytes;
}

/// A range that a file stores, with what is in it.
struct StoredRange {
  std::uint64_t gpa;
  std::string content;
};

inline std::string lime_range(const StoredRange& range) {
  return number(0x4c694d45, 4) + number(1, 4) + number(range.gpa, 8) +
         number(range.gpa + range.content.size() - 1, 8) + number(0, 8) + range.content;
}

inline std::string note(std::string_view name, std::uint32_t type, std::string_view content) {
  const auto padded = [](std::string_view bytes) {
    return std::string{bytes} + std::string((4 - bytes.size() % 4) % 4, '\0');
  };
  return number(name.size() + 1, 4) + number(content.size(), 4) + number(type, 4) +
         padded(std::string{name} + '\0') + padded(content);
}

struct ElfParts {
  std::string notes{};
  std::vector<StoredRange> ranges{};
  std::uint64_t more_memory = 0; ///< of each range, that is not in the file
  std::uint16_t machine = EM_X86_64;
};

template <typename Header, typename Segment>
std::string elf_core(const ElfParts& parts, unsigned char elf_class) {
  Header header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = elf_class;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_CORE;
  header.e_machine = parts.machine;
  header.e_phoff = sizeof(Header);
  header.e_phentsize = sizeof(Segment);
  header.e_phnum = static_cast<std::uint16_t>(1 + parts.ranges.size());
  std::size_t offset = sizeof(Header) + header.e_phnum * sizeof(Segment);
  Segment segment{};
  segment.p_type = PT_NOTE;
  segment.p_offset = static_cast<decltype(segment.p_offset)>(offset);
  segment.p_filesz = static_cast<decltype(segment.p_filesz)>(parts.notes.size());
  std::string file = bytes_of(header) + bytes_of(segment);
  std::string data = parts.notes;
  for (const StoredRange& range : parts.ranges) {
    segment = {};
    segment.p_type = PT_LOAD;
    segment.p_offset = static_cast<decltype(segment.p_offset)>(offset + data.size());
    segment.p_paddr = static_cast<decltype(segment.p_paddr)>(range.gpa);
    segment.p_filesz = static_cast<decltype(segment.p_filesz)>(range.content.size());
    segment.p_memsz = static_cast<decltype(segment.p_memsz)>(range.content.size() + parts.more_memory);
    file += bytes_of(segment);
    data += range.content;
  }
  return file + data;
}

inline std::string elf64_core(const ElfParts& parts) {
  return elf_core<Elf64_Ehdr, Elf64_Phdr>(parts, ELFCLASS64);
}
inline std::string elf32_core(const ElfParts& parts) {
  return elf_core<Elf32_Ehdr, Elf32_Phdr>(parts, ELFCLASS32);
}

/// The image in a file with these bytes.
inline Result<SavedImage> open_bytes(std::string_view bytes, std::string_view format = {}) {
  const TempDir dir;
  write_file(dir / "image", bytes);
  auto file = SavedFile::open(dir / "image");
  return file ? open_image(*file, format) : tl::unexpected{file.error()};
}

inline Extent stored(std::uint64_t begin, std::uint64_t end, std::uint64_t offset) {
  return {{Gpa{begin}, Gpa{end}}, ExtentKind::stored, offset};
}

inline Extent absent(std::uint64_t begin, std::uint64_t end, std::uint64_t offset) {
  return {{Gpa{begin}, Gpa{end}}, ExtentKind::absent, offset};
}

} // namespace vmemfs::test
