// SPDX-License-Identifier: MIT
// Symbols as a text: the forms of System.map and /proc/kallsyms.
#pragma once

#include "linux/symbols/kernel_symbols.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace vmemfs {

/// Lines `ADDRESS TYPE NAME` with 16 hex digits, in the table's order. `offset` is subtracted from all
/// addresses but absolute ones: that of KASLR for System.map, 0 for /proc/kallsyms.
[[nodiscard]] std::string symbol_map(const KernelSymbols& symbols, std::uint64_t offset);

/// The size of such a text.
[[nodiscard]] std::size_t symbol_map_bytes(const KernelSymbols& symbols);

} // namespace vmemfs
