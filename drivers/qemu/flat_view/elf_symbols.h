// SPDX-License-Identifier: MIT
// Symbol lookup in an ELF file (format: elf(5)). Only little-endian 64-bit files.
//
// Symbols are found through the section headers (.dynsym, then .symtab): strip(1) keeps .dynsym, and an
// unstripped QEMU that exports nothing still has .symtab. The file is not trusted: all offsets, counts and
// strings are checked and bounded.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

namespace vmemfs::qemu {

/// Fills the buffer from the file at an offset; false if the file ends before.
using ElfReadAt = std::function<bool(std::uint64_t offset, std::span<std::byte> buffer)>;

/// A reader of bytes in memory, for ElfFile::open(). The bytes must outlive the ElfFile.
[[nodiscard]] ElfReadAt elf_bytes(std::span<const std::byte> bytes);

/// A reader that uses pread(2). The descriptor must stay open.
[[nodiscard]] ElfReadAt elf_fd(int fd);

struct ElfSymbol {
  std::uint64_t value; ///< virtual address as linked; add the load bias of a PIE
  std::uint64_t size;  ///< in bytes

  friend bool operator==(const ElfSymbol&, const ElfSymbol&) = default;
};

/// Not thread-safe.
class ElfFile {
public:
  /// invalid: not a little-endian 64-bit ELF file, or damaged.
  static Result<ElfFile> open(ElfReadAt read_at);

  /// True for ET_DYN: the load address differs from process to process.
  [[nodiscard]] bool is_pie() const { return pie_; }

  /// Offset in the file and linked address of the first loadable segment. Both are rounded down to a page
  /// boundary.
  [[nodiscard]] std::uint64_t first_load_offset() const { return first_load_offset_; }
  [[nodiscard]] std::uint64_t first_load_address() const { return first_load_address_; }

  /// A symbol that is defined in the file. not_found: no symbol of that name. invalid: damaged tables.
  [[nodiscard]] Result<ElfSymbol> find_symbol(std::string_view name) const;

private:
  explicit ElfFile(ElfReadAt read_at) : read_at_{std::move(read_at)} {}

  ElfReadAt read_at_;
  bool pie_ = false;
  std::uint64_t first_load_offset_ = 0;
  std::uint64_t first_load_address_ = 0;
  std::uint64_t section_table_ = 0; ///< offset in the file
  std::uint32_t section_count_ = 0;
};

} // namespace vmemfs::qemu
