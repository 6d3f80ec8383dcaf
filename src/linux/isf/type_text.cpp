// SPDX-License-Identifier: MIT
#include "linux/isf/type_text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>
#include <string>

namespace vmemfs::isf {
namespace {

using btf::Kind;
using btf::TypeId;

struct BaseType {
  std::string_view name;
  std::uint32_t size;
  bool is_signed;
  std::string_view kind;
};

/// Those that no BTF has, and those that readers ask for by these names, which are gcc's.
constexpr std::array<BaseType, 13> kUsual{{
    {"pointer", 8, false, "int"},
    {"void", 0, false, "void"},
    {"char", 1, true, "char"},
    {"signed char", 1, true, "char"},
    {"unsigned char", 1, false, "char"},
    {"short int", 2, true, "int"},
    {"short unsigned int", 2, false, "int"},
    {"int", 4, true, "int"},
    {"unsigned int", 4, false, "int"},
    {"long int", 8, true, "int"},
    {"long unsigned int", 8, false, "int"},
    {"long long int", 8, true, "int"},
    {"long long unsigned int", 8, false, "int"},
}};
constexpr std::size_t kNeverInBtf = 2;

BaseType base_type(const btf::Types& types, TypeId id, const btf::Type& type) {
  if (type.kind == Kind::floating) {
    return {.name = type.name, .size = type.size, .is_signed = true, .kind = "float"};
  }
  const btf::Integer number = types.integer(id);
  const std::string_view kind = number.is_bool ? "bool" : number.is_char || type.size == 1 ? "char" : "int";
  return {.name = type.name, .size = type.size, .is_signed = number.is_signed, .kind = kind};
}

/// The integer that a value of an enumeration is.
std::string_view base_of(const btf::Type& enumeration) {
  switch (enumeration.size) {
  case 1: return enumeration.kind_flag ? "signed char" : "unsigned char";
  case 2: return enumeration.kind_flag ? "short int" : "short unsigned int";
  case 8: return enumeration.kind_flag ? "long int" : "long unsigned int";
  default: return enumeration.kind_flag ? "int" : "unsigned int";
  }
}

void write_base_type(JsonText& text, const BaseType& type) {
  text.string(type.name);
  text.raw(fmt::format(R"(:{{"size":{},"signed":{},"kind":"{}","endian":"little"}})", type.size,
                       type.is_signed, type.kind));
}

} // namespace

void TypeText::write_base_types() {
  std::set<std::string_view> written;
  bool is_first = true;
  const auto write = [&](const BaseType& type) {
    if (written.insert(type.name).second) {
      text_.separate(is_first);
      write_base_type(text_, type);
    }
  };
  std::ranges::for_each_n(kUsual.begin(), kNeverInBtf, write);
  for (TypeId id = 1; id < types_.end() && !text_.full(); ++id) {
    const btf::Type type = types_.type(id);
    if (!type.name.empty() && (type.kind == Kind::integer || type.kind == Kind::floating)) {
      write(base_type(types_, id, type));
    }
  }
  std::ranges::for_each(kUsual, write);
}

void TypeText::write_structures() {
  bool is_first = true;
  for (TypeId id = 1; id < types_.end() && !text_.full(); ++id) {
    const btf::Type type = types_.type(id);
    if (type.kind == Kind::structure || type.kind == Kind::union_type) {
      text_.separate(is_first);
      text_.raw("\"");
      names_.append(text_, id);
      text_.raw("\":");
      write_structure(id, type);
    }
  }
  for (const TypeNames::Alias& alias : names_.aliases()) {
    if (text_.full()) {
      break;
    }
    text_.separate(is_first);
    text_.string(alias.name);
    text_.raw(":");
    write_structure(alias.type, types_.type(alias.type));
  }
}

void TypeText::write_structure(TypeId id, const btf::Type& structure) {
  text_.raw(structure.kind == Kind::structure ? R"({"kind":"struct","size":)" : R"({"kind":"union","size":)");
  text_.number(structure.size);
  text_.raw(R"(,"fields":{)");
  bool is_first = true;
  for (std::size_t i = 0; i < structure.count && !text_.full(); ++i) {
    const btf::Member member = types_.member(id, i);
    const Kind kind = types_.type(types_.resolve(member.type)).kind;
    if (!member.name.empty() || kind == Kind::structure || kind == Kind::union_type) {
      text_.separate(is_first);
      write_member(id, i);
    }
  }
  text_.raw("}}");
}

void TypeText::write_member(TypeId id, std::size_t index) {
  const btf::Member member = types_.member(id, index);
  if (member.name.empty()) {
    text_.raw("\"unnamed_field_");
    text_.number(index);
    text_.raw(R"(":{"anonymous":true,)");
  } else {
    text_.string(member.name);
    text_.raw(":{");
  }
  if (member.bitfield_bits != 0) {
    write_bit_field(member);
  } else {
    text_.raw(R"("offset":)");
    text_.number(member.bit_offset / 8);
    text_.raw(R"(,"type":)");
    write_reference(member.type);
  }
  text_.raw("}");
}

/// A bit field is some bits of a value of its type, which begins at a multiple of the type's size; one that
/// would cross the end of that, as in a packed structure, begins with its byte.
void TypeText::write_bit_field(const btf::Member& member) {
  const TypeId id = types_.resolve(member.type);
  const btf::Type type = types_.type(id);
  const bool is_number =
      type.kind == Kind::integer || type.kind == Kind::enumeration || type.kind == Kind::enumeration64;
  std::uint32_t unit = is_number ? 8 * type.size : 8;
  if (member.bit_offset % unit + member.bitfield_bits > unit) {
    unit = 8;
  }
  text_.raw(R"("offset":)");
  text_.number(member.bit_offset / unit * (unit / 8));
  text_.raw(R"(,"type":{"kind":"bitfield","bit_position":)");
  text_.number(member.bit_offset % unit);
  text_.raw(R"(,"bit_length":)");
  text_.number(member.bitfield_bits);
  text_.raw(R"(,"type":)");
  if (is_number) {
    write_innermost(id, type);
  } else {
    text_.raw(R"({"kind":"base","name":"unsigned int"})");
  }
  text_.raw("}");
}

void TypeText::write_enumerations() {
  bool is_first = true;
  for (TypeId id = 1; id < types_.end() && !text_.full(); ++id) {
    const btf::Type type = types_.type(id);
    if (type.kind != Kind::enumeration && type.kind != Kind::enumeration64) {
      continue;
    }
    text_.separate(is_first);
    text_.raw("\"");
    names_.append(text_, id);
    text_.raw(fmt::format(R"(":{{"size":{},"base":"{}","constants":{{)", type.size, base_of(type)));
    bool is_first_constant = true;
    for (std::size_t i = 0; i < type.count && !text_.full(); ++i) {
      const btf::Enumerator constant = types_.enumerator(id, i);
      text_.separate(is_first_constant);
      text_.string(constant.name);
      text_.raw(":");
      if (type.kind_flag) {
        text_.number(static_cast<std::int64_t>(constant.value));
      } else {
        text_.number(constant.value);
      }
    }
    text_.raw("}}");
  }
}

void TypeText::write_reference(TypeId id) {
  constexpr std::size_t kMaxNesting = 32;
  std::size_t open = 0;
  id = types_.resolve(id);
  btf::Type type = types_.type(id);
  for (; (type.kind == Kind::pointer || type.kind == Kind::array) && open < kMaxNesting; ++open) {
    if (type.kind == Kind::pointer) {
      text_.raw(R"({"kind":"pointer","subtype":)");
      id = types_.resolve(type.target);
    } else {
      const btf::Array array = types_.array(id);
      text_.raw(R"({"kind":"array","count":)");
      text_.number(array.count);
      text_.raw(R"(,"subtype":)");
      id = types_.resolve(array.element);
    }
    type = types_.type(id);
  }
  write_innermost(id, type);
  text_.raw(std::string(open, '}'));
}

void TypeText::write_innermost(TypeId id, const btf::Type& type) {
  switch (type.kind) {
  case Kind::integer:
  case Kind::floating:
    text_.raw(R"({"kind":"base","name":)");
    text_.string(type.name.empty() ? "void" : type.name);
    text_.raw("}");
    return;
  case Kind::structure: write_named("struct", id); return;
  case Kind::union_type: write_named("union", id); return;
  case Kind::enumeration:
  case Kind::enumeration64: write_named("enum", id); return;
  case Kind::forward:
    text_.raw(type.kind_flag ? R"({"kind":"union","name":)" : R"({"kind":"struct","name":)");
    text_.string(type.name);
    text_.raw("}");
    return;
  case Kind::function:
  case Kind::function_prototype: text_.raw(R"({"kind":"function"})"); return;
  case Kind::void_type:
  case Kind::pointer:
  case Kind::array:
  case Kind::type_definition:
  case Kind::volatile_type:
  case Kind::const_type:
  case Kind::restrict_type:
  case Kind::variable:
  case Kind::data_section:
  case Kind::declaration_tag:
  case Kind::type_tag: break;
  }
  text_.raw(R"({"kind":"base","name":"void"})");
}

void TypeText::write_named(std::string_view kind, TypeId id) {
  text_.raw(R"({"kind":")");
  text_.raw(kind);
  text_.raw(R"(","name":")");
  names_.append(text_, id);
  text_.raw("\"}");
}

} // namespace vmemfs::isf
