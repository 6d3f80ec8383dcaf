// SPDX-License-Identifier: MIT
// ELF64 executable with sections: their headers and names, and a program header for each that is in memory.
#pragma once

#include "core/gpa.h"
#include "image/elf_core.h"
#include "image/image_layout.h"
#include "linux/vmlinux/byte_writer.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vmemfs {

/// A file of made bytes and of guest memory, which is read when the file is.
struct ElfFile {
  ImageLayout layout;
  std::vector<std::byte> made; ///< all made bytes of the layout, one part behind the other
};

/// Fields of a section header.
struct ElfSection {
  std::string_view name; ///< outlives the writer
  std::uint32_t type = 0;
  std::uint64_t flags = 0;
  std::uint64_t address = 0;
  std::uint32_t link = 0;
  std::uint32_t info = 0;
  std::uint64_t entry_bytes = 0;
};

/// Not thread-safe.
class ElfWriter {
public:
  explicit ElfWriter(ElfMachine machine);

  /// Max number of sections.
  static constexpr std::size_t kMaxSections = 32;

  // Each adds a section behind those before, and returns its index.
  std::uint32_t add_guest(const ElfSection& section, const GpaRange& content);
  std::uint32_t add_made(const ElfSection& section, std::span<const std::byte> content);
  std::uint32_t add_zeros(const ElfSection& section, std::uint64_t bytes);
  std::uint32_t add_without_content(const ElfSection& section, std::uint64_t bytes);

  /// Program headers are in the order of their sections.
  [[nodiscard]] ElfFile finish() &&;

private:
  struct Placed {
    ElfSection section;
    std::uint64_t offset;
    std::uint64_t bytes;
  };

  /// Moves the end of the file to where the section can begin.
  std::uint32_t place(const ElfSection& section, std::uint64_t bytes);
  /// `names`: offsets in the last section. Returns the position in the file.
  std::uint64_t write_section_headers(std::span<const std::uint32_t> names);
  /// Returns how many there are.
  std::size_t write_program_headers();
  void write_elf_header(std::uint64_t section_headers, std::size_t program_headers);

  const ElfMachine machine_;
  std::vector<Placed> sections_;
  ByteWriter made_;
  ImageLayout layout_;
};

} // namespace vmemfs
