// SPDX-License-Identifier: MIT
// Types as an ISF describes them: base types, structures, enumerations, and references to them.
#pragma once

#include "linux/btf/types.h"
#include "linux/isf/json_text.h"
#include "linux/isf/type_names.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmemfs::isf {

/// References are kept for as long as it lives.
class TypeText {
public:
  TypeText(JsonText& text, const btf::Types& types) : text_{text}, types_{types}, names_{types} {}

  /// The contents of the objects "base_types", "user_types" and "enums".
  void write_base_types();
  void write_structures();
  void write_enumerations();

  /// The description of a type, such as {"kind":"base","name":"int"}.
  void write_reference(btf::TypeId id);

private:
  void write_structure(btf::TypeId id, const btf::Type& structure);
  void write_member(btf::TypeId id, std::size_t index);
  void write_bit_field(const btf::Member& member);
  void write_innermost(btf::TypeId id, const btf::Type& type);
  void write_named(std::string_view kind, btf::TypeId id);

  JsonText& text_;
  const btf::Types& types_;
  TypeNames names_;
};

} // namespace vmemfs::isf
