// SPDX-License-Identifier: MIT
#include "linux/vmlinux/dwarf/type_writer.h"

#include <string_view>

namespace vmemfs::dwarf {
namespace {

using btf::Kind;
using btf::Type;
using btf::TypeId;
using btf::Types;

constexpr std::uint8_t kPointerBytes = 8;

bool is_type_of_value(Kind kind) {
  switch (kind) {
  case Kind::integer:
  case Kind::pointer:
  case Kind::array:
  case Kind::structure:
  case Kind::union_type:
  case Kind::enumeration:
  case Kind::forward:
  case Kind::type_definition:
  case Kind::volatile_type:
  case Kind::const_type:
  case Kind::restrict_type:
  case Kind::function_prototype:
  case Kind::floating:
  case Kind::enumeration64: return true;
  case Kind::void_type:
  case Kind::function:
  case Kind::variable:
  case Kind::data_section:
  case Kind::declaration_tag:
  case Kind::type_tag: return false;
  }
  return false;
}

std::uint8_t encoding_of(const Type& type, const btf::Integer& integer) {
  if (integer.is_bool) {
    return kEncodingBoolean;
  }
  // Not all writers of BTF say which integers are characters.
  if (integer.is_char || (type.size == 1 && type.name.find("char") != std::string_view::npos)) {
    return integer.is_signed ? kEncodingSignedChar : kEncodingUnsignedChar;
  }
  return integer.is_signed ? kEncodingSigned : kEncodingUnsigned;
}

void write_base_type(Entries& entries, const Type& type, std::uint8_t encoding) {
  entries.begin(Shape::base_type, type.name, btf::kVoid);
  entries.out().unsigned_leb128(type.size);
  entries.out().number(encoding);
}

void write_array(Entries& entries, const Types& types, TypeId id) {
  const btf::Array array = types.array(id);
  entries.begin(Shape::array, {}, reference_of(types, array.element), true);
  entries.begin(Shape::subrange, {}, reference_of(types, array.index));
  entries.out().unsigned_leb128(array.count);
  entries.end_children();
}

void write_member(Entries& entries, const Types& types, const btf::Member& member) {
  constexpr unsigned kByteBits = 8;
  const bool is_bit_field = member.bitfield_bits != 0;
  entries.begin(is_bit_field ? Shape::bit_field : Shape::member, member.name,
                reference_of(types, member.type));
  if (is_bit_field) {
    entries.out().number(member.bitfield_bits);
    entries.out().unsigned_leb128(member.bit_offset);
  } else {
    entries.out().unsigned_leb128(member.bit_offset / kByteBits);
  }
}

void write_structure(Entries& entries, const Types& types, TypeId id, const Type& type) {
  const bool has_members = type.count != 0;
  entries.begin(type.kind == Kind::union_type ? Shape::union_type : Shape::structure, type.name, btf::kVoid,
                has_members);
  entries.out().unsigned_leb128(type.size);
  for (std::size_t i = 0; i < type.count; ++i) {
    write_member(entries, types, types.member(id, i));
  }
  if (has_members) {
    entries.end_children();
  }
}

void write_enumeration(Entries& entries, const Types& types, TypeId id, const Type& type) {
  if (type.count == 0) { // how BTF declares one
    entries.begin(Shape::declared_enumeration, type.name, btf::kVoid);
    return;
  }
  entries.begin(Shape::enumeration, type.name, btf::kVoid, true);
  entries.out().unsigned_leb128(type.size);
  for (std::size_t i = 0; i < type.count; ++i) {
    const btf::Enumerator enumerator = types.enumerator(id, i);
    if (type.kind_flag) {
      entries.begin(Shape::signed_enumerator, enumerator.name, btf::kVoid);
      entries.out().signed_leb128(static_cast<std::int64_t>(enumerator.value));
    } else {
      entries.begin(Shape::unsigned_enumerator, enumerator.name, btf::kVoid);
      entries.out().unsigned_leb128(enumerator.value);
    }
  }
  entries.end_children();
}

void write_prototype(Entries& entries, const Types& types, TypeId id, const Type& type) {
  entries.begin(Shape::subroutine, {}, reference_of(types, type.target), true);
  write_parameters(entries, types, id);
}

/// Of a type that is another one with a name or a qualifier. One that refers only to itself in the end is
/// void's, so that no tool follows it for ever.
void write_wrapper(Entries& entries, const Types& types, TypeId id, const Type& type, Shape shape) {
  const bool ends = types.resolve(id) != btf::kVoid;
  entries.begin(shape, shape == Shape::type_definition ? type.name : std::string_view{},
                ends ? reference_of(types, type.target) : btf::kVoid);
}

} // namespace

TypeId reference_of(const Types& types, TypeId id) {
  constexpr int kMaxTags = 32;
  for (int i = 0; i < kMaxTags && id != btf::kVoid; ++i) {
    const Type type = types.type(id);
    if (type.kind != Kind::type_tag) {
      return is_type_of_value(type.kind) ? id : btf::kVoid;
    }
    id = type.target;
  }
  return btf::kVoid;
}

void write_parameters(Entries& entries, const Types& types, TypeId prototype) {
  const std::size_t count = types.type(prototype).count;
  for (std::size_t i = 0; i < count; ++i) {
    const btf::Parameter parameter = types.parameter(prototype, i);
    if (i + 1 == count && parameter.name.empty() && parameter.type == btf::kVoid) {
      entries.begin(Shape::more_parameters, {}, btf::kVoid);
    } else {
      entries.begin(Shape::parameter, parameter.name, reference_of(types, parameter.type));
    }
  }
  entries.end_children();
}

void write_type(Entries& entries, const Types& types, TypeId id) {
  const Type type = types.type(id);
  if (!is_type_of_value(type.kind)) {
    return;
  }
  entries.define(id);
  switch (type.kind) {
  case Kind::integer: return write_base_type(entries, type, encoding_of(type, types.integer(id)));
  case Kind::floating: return write_base_type(entries, type, kEncodingFloat);
  case Kind::pointer:
    entries.begin(Shape::pointer, {}, reference_of(types, type.target));
    return entries.out().number(kPointerBytes);
  case Kind::array: return write_array(entries, types, id);
  case Kind::structure:
  case Kind::union_type: return write_structure(entries, types, id, type);
  case Kind::enumeration:
  case Kind::enumeration64: return write_enumeration(entries, types, id, type);
  case Kind::forward:
    return entries.begin(type.kind_flag ? Shape::declared_union : Shape::declared_structure, type.name,
                         btf::kVoid);
  case Kind::type_definition: return write_wrapper(entries, types, id, type, Shape::type_definition);
  case Kind::volatile_type: return write_wrapper(entries, types, id, type, Shape::volatile_type);
  case Kind::const_type: return write_wrapper(entries, types, id, type, Shape::const_type);
  case Kind::restrict_type: return write_wrapper(entries, types, id, type, Shape::restrict_type);
  case Kind::function_prototype: return write_prototype(entries, types, id, type);
  case Kind::void_type:
  case Kind::function:
  case Kind::variable:
  case Kind::data_section:
  case Kind::declaration_tag:
  case Kind::type_tag: return;
  }
}

} // namespace vmemfs::dwarf
