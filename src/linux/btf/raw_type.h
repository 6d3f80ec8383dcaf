// SPDX-License-Identifier: MIT
// The bytes of a BTF type: 12 that all have, then those of its kind, then its elements such as members.
//
// Format: Documentation/bpf/btf.rst of the kernel. Numbers are little-endian; a type begins at any address.
#pragma once

#include "linux/btf/kind.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace vmemfs::btf {

/// The number at `at`, which must be within the bytes.
template <typename T> [[nodiscard]] T load(std::span<const std::byte> bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

struct RawType {
  std::uint32_t name; ///< offset among the names; 0: none
  std::uint32_t info;
  std::uint32_t size_or_target;

  [[nodiscard]] Kind kind() const { return static_cast<Kind>((info >> 24U) & 0x1fU); }
  [[nodiscard]] bool kind_flag() const { return (info >> 31U) != 0; }
  [[nodiscard]] std::uint16_t count() const { return static_cast<std::uint16_t>(info & 0xffffU); }
};
static_assert(sizeof(RawType) == 12);

/// Bytes between the RawType and the elements.
[[nodiscard]] constexpr std::size_t extra_bytes(Kind kind) {
  switch (kind) {
  case Kind::integer:
  case Kind::variable:
  case Kind::declaration_tag: return 4;
  case Kind::array: return 12;
  case Kind::void_type:
  case Kind::pointer:
  case Kind::structure:
  case Kind::union_type:
  case Kind::enumeration:
  case Kind::forward:
  case Kind::type_definition:
  case Kind::volatile_type:
  case Kind::const_type:
  case Kind::restrict_type:
  case Kind::function:
  case Kind::function_prototype:
  case Kind::data_section:
  case Kind::floating:
  case Kind::type_tag:
  case Kind::enumeration64: break;
  }
  return 0;
}

/// Bytes of an element; 0: types of this kind have none.
[[nodiscard]] constexpr std::size_t element_bytes(Kind kind) {
  switch (kind) {
  case Kind::structure:
  case Kind::union_type:
  case Kind::data_section:
  case Kind::enumeration64: return 12;
  case Kind::enumeration:
  case Kind::function_prototype: return 8;
  case Kind::void_type:
  case Kind::integer:
  case Kind::pointer:
  case Kind::array:
  case Kind::forward:
  case Kind::type_definition:
  case Kind::volatile_type:
  case Kind::const_type:
  case Kind::restrict_type:
  case Kind::function:
  case Kind::variable:
  case Kind::floating:
  case Kind::declaration_tag:
  case Kind::type_tag: break;
  }
  return 0;
}

/// Whether its third number is a size in bytes.
[[nodiscard]] constexpr bool has_size(Kind kind) {
  return kind == Kind::integer || kind == Kind::structure || kind == Kind::union_type ||
         kind == Kind::enumeration || kind == Kind::enumeration64 || kind == Kind::floating ||
         kind == Kind::data_section;
}

/// Whether its third number is a type. The types of an array are behind it.
[[nodiscard]] constexpr bool has_target(Kind kind) {
  return !has_size(kind) && kind != Kind::void_type && kind != Kind::array && kind != Kind::forward;
}

} // namespace vmemfs::btf
