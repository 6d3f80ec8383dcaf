// SPDX-License-Identifier: MIT
// The symbol table of a kernel's ELF file.
#pragma once

#include "linux/vmlinux/kernel_sections.h"
#include "linux/vmlinux/linked_symbols.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmemfs {

/// Symbols beyond are left out; Linux 7.3 has 200,000.
inline constexpr std::size_t kMaxElfSymbols = std::size_t{1} << 20U;

struct SymbolTable {
  std::vector<std::byte> symbols; ///< .symtab
  std::vector<std::byte> names;   ///< .strtab
  std::uint32_t first_global;     ///< index; those before are local
};

/// A symbol belongs to the section that it is in, or else to the one before it; a symbol of the area of a
/// CPU to that. The index of the first of the sections is 1.
[[nodiscard]] SymbolTable make_symbol_table(const LinkedSymbols& symbols,
                                            std::span<const KernelSection> sections);

} // namespace vmemfs
