// SPDX-License-Identifier: MIT
// Members of a kernel's structures that lead to the symbols of its modules, by its own types.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"
#include "linux/modules/module_layout.h"

#include <cstdint>
#include <optional>

namespace vmemfs {

/// Offsets in bytes. Known of Linux 6.1.
struct ModuleSymbolLayout {
  ModuleLayout module;
  std::uint64_t kallsyms; ///< in struct module: address of the tables below
  /// In struct module: the symbols that it exports; those for GPL alone are not among them.
  std::uint64_t exports;
  std::uint64_t export_count;

  std::uint64_t tables_size; ///< struct mod_kallsyms
  std::uint64_t symbols;
  std::uint64_t symbol_count;
  std::uint64_t names;
  std::optional<std::uint64_t> letters; ///< absent before 5.2: they are in the symbols

  std::uint64_t export_size; ///< struct kernel_symbol
  std::uint64_t export_value;
  std::uint64_t export_name;
  bool relative; ///< value and name of it are 32-bit offsets from their own places, else addresses

  std::uint64_t name_bytes; ///< as many /proc/kallsyms has room for, with a zero byte
};

/// no_data: the kernel's types lack something.
[[nodiscard]] Result<ModuleSymbolLayout> module_symbol_layout(const btf::Types& types);

} // namespace vmemfs
