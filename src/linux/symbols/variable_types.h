// SPDX-License-Identifier: MIT
// Types of global variables, which BTF does not have: a table by name, src/linux/data/variable_types.txt.
#pragma once

#include "linux/btf/types.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace vmemfs {

/// A line of the table, such as `pid_hash *struct hlist_head`.
struct VariableType {
  std::string_view name;
  /// From the outside to the inside: '*' pointer, '[' array of unknown length. Empty: the type itself.
  std::string_view declarators;
  std::string_view type; ///< such as "struct hlist_head", "unsigned int"; "func": a function
};

/// The whole table, sorted by name.
[[nodiscard]] std::span<const VariableType> variable_types();

/// The line of a variable; nullptr: the table has none.
[[nodiscard]] const VariableType* variable_type(std::string_view name);

/// The named type in this kernel; nullopt: it has no such type. kVoid for "func" and "void".
[[nodiscard]] std::optional<btf::TypeId> named_type(const btf::Types& types, std::string_view type);

} // namespace vmemfs
