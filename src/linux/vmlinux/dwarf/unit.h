// SPDX-License-Identifier: MIT
// Debugging information of a kernel, made from its BTF: types, functions and variables, no lines.
#pragma once

#include "linux/btf/types.h"
#include "linux/vmlinux/dwarf/entries.h"
#include "linux/vmlinux/linked_symbols.h"

#include <cstddef>

namespace vmemfs::dwarf {

/// BTF with more bytes gets no debugging information; that of Linux 7.3 has 5 MiB.
inline constexpr std::size_t kMaxBtfBytes = std::size_t{32} << 20U;

/// One unit with all types in the order of BTF. Functions and variables of which the symbols do not say where
/// they are, such as those with a name that is not unique, are left out. Variables have the type of BTF, or
/// else that of variable_types(). `image`: where functions may be.
[[nodiscard]] Sections make_unit(const btf::Types& types, const LinkedSymbols& symbols,
                                 const AddressRange& image);

} // namespace vmemfs::dwarf
