// SPDX-License-Identifier: MIT
// The symbol tables of one module, copied from a guest's memory.
#pragma once

#include "linux/kernel_memory.h"
#include "linux/modules/symbol_layout.h"
#include "linux/structures/structure_copy.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace vmemfs {

/// Memory of a guest, of which only so much is read: the guest itself says how large its tables are, and can
/// have the same page everywhere. Not thread-safe.
class LimitedMemory {
public:
  /// `memory` outlives this object.
  LimitedMemory(KernelMemory& memory, std::size_t max_bytes) : memory_{memory}, left_{max_bytes} {}

  /// nullopt: some of it cannot be read, or the limit is reached.
  [[nodiscard]] std::optional<StructureCopy> copy(std::uint64_t address, std::uint64_t size);
  /// What there is before the first byte that cannot be read; empty at the limit.
  [[nodiscard]] std::vector<char> text(std::uint64_t address, std::uint64_t max_size);

private:
  [[nodiscard]] bool spend(std::uint64_t size);

  KernelMemory& memory_;
  std::uint64_t left_;
};

/// Immutable.
class ModuleSymbolTables {
public:
  struct Symbol {
    std::uint64_t address;
    std::string_view name; ///< may be empty; valid as long as the tables
    char letter;           ///< as of nm(1), in any case
  };

  /// Of a module with this structure. nullopt: they cannot be read, or are larger than any module's.
  [[nodiscard]] static std::optional<ModuleSymbolTables>
  read(LimitedMemory& memory, const ModuleSymbolLayout& layout, const StructureCopy& module);

  [[nodiscard]] std::size_t size() const { return size_; }
  /// nullopt: its name does not end.
  [[nodiscard]] std::optional<Symbol> symbol(std::size_t index) const;
  /// Whether the module exports it, other than for GPL alone. Reads from `memory`.
  [[nodiscard]] bool exports(LimitedMemory& memory, const Symbol& symbol) const;

private:
  /// By value: the addresses of names.
  using Exports = std::unordered_multimap<std::uint64_t, std::uint64_t>;

  ModuleSymbolTables(std::size_t size, StructureCopy symbols, std::optional<StructureCopy> letters)
      : size_{size}, symbols_{std::move(symbols)}, letters_{std::move(letters)} {}

  static std::optional<Exports> read_exports(LimitedMemory& memory, const ModuleSymbolLayout& layout,
                                             const StructureCopy& module);
  [[nodiscard]] bool read_names(LimitedMemory& memory, std::uint64_t address, std::uint64_t name_bytes);

  std::size_t size_;
  StructureCopy symbols_; ///< Elf64_Sym
  std::optional<StructureCopy> letters_;
  std::vector<char> names_;
  std::size_t max_name_ = 0;
  Exports exports_;
};

} // namespace vmemfs
