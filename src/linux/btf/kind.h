// SPDX-License-Identifier: MIT
// Kinds and numbers of BTF types.
#pragma once

#include <cstdint>

namespace vmemfs::btf {

/// Number of a type. 0 is void.
using TypeId = std::uint32_t;
inline constexpr TypeId kVoid = 0;

/// Values as in the format.
enum class Kind : std::uint8_t {
  void_type = 0,
  integer = 1,
  pointer = 2,
  array = 3,
  structure = 4,
  union_type = 5,
  enumeration = 6,
  forward = 7, ///< a structure, or with the kind flag a union, of which only the name is known
  type_definition = 8,
  volatile_type = 9,
  const_type = 10,
  restrict_type = 11,
  function = 12,
  function_prototype = 13,
  variable = 14,
  data_section = 15,
  floating = 16,
  declaration_tag = 17,
  type_tag = 18,
  enumeration64 = 19,
};

} // namespace vmemfs::btf
