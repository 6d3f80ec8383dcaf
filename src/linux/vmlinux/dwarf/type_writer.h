// SPDX-License-Identifier: MIT
// Types of BTF as entries of DWARF.
#pragma once

#include "linux/btf/types.h"
#include "linux/vmlinux/dwarf/entries.h"

namespace vmemfs::dwarf {

/// What entries refer to instead of `id`: the same without type tags, which DWARF does not have; kVoid for
/// what is no type of a value.
[[nodiscard]] btf::TypeId reference_of(const btf::Types& types, btf::TypeId id);

/// Adds the entry of a type and its children. Nothing for functions, variables, sections and tags.
void write_type(Entries& entries, const btf::Types& types, btf::TypeId id);

/// Adds the parameters of a function_prototype, and the end of the children of what has them.
void write_parameters(Entries& entries, const btf::Types& types, btf::TypeId prototype);

} // namespace vmemfs::dwarf
