// SPDX-License-Identifier: MIT
// Looks up a symbol in an ELF file (format: elf(5)). Only little-endian 64-bit files.
//
// Goes through the section headers (.dynsym, then .symtab): strip(1) keeps .dynsym, and an unstripped
// QEMU that exports nothing still has .symtab. The file is not trusted: all offsets, counts and
// strings are checked and bounded.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

namespace vmemfs::qemu {

/// Fills the buffer from the file at an offset; false where the file doesn't have that much.
using ElfReadAt = std::function<bool(std::uint64_t offset, std::span<std::byte> buffer)>;

/// Reads of bytes in memory, for ElfFile::open(). They must outlive the ElfFile.
[[nodiscard]] ElfReadAt elf_bytes(std::span<const std::byte> bytes);

/// Reads by pread. The descriptor must stay open.
[[nodiscard]] ElfReadAt elf_fd(int fd);

struct ElfSymbol {
  std::uint64_t value; ///< virtual address as linked; add the load bias of a PIE
  std::uint64_t size;  ///< in bytes

  friend bool operator==(const ElfSymbol&, const ElfSymbol&) = default;
};

/// For one thread at a time.
class ElfFile {
public:
  /// invalid: not an ELF file of this kind, or a damaged one.
  static Result<ElfFile> open(ElfReadAt read_at);

  /// ET_DYN: loaded at an address that differs from process to process.
  [[nodiscard]] bool is_pie() const { return pie_; }

  /// The first loadable segment: where it lies in the file, and its address as linked. Both are
  /// rounded down to the page.
  [[nodiscard]] std::uint64_t first_load_offset() const { return first_load_offset_; }
  [[nodiscard]] std::uint64_t first_load_address() const { return first_load_address_; }

  /// A symbol that is defined in the file. not_found: none of that name. invalid: damaged tables.
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
