// SPDX-License-Identifier: MIT
// Abbreviations of DWARF: what the entries of a unit consist of.
//
// Format: DWARF 4, section 7.5.3. Each entry begins with a code; its abbreviation lists the attributes that
// follow. All of ours begin with the name and the type, if they have them.
#pragma once

#include "linux/vmlinux/byte_writer.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vmemfs::dwarf {

/// Kinds of entries, with the attributes that follow name and type.
enum class Shape : std::uint8_t {
  unit,                ///< language: 1 byte, begin of the code: 8, its size: 8
  base_type,           ///< size: LEB128, encoding: 1
  pointer,             ///< size: 1
  array,               //
  subrange,            ///< count: LEB128
  structure,           ///< size: LEB128
  union_type,          ///< size: LEB128
  enumeration,         ///< size: LEB128
  member,              ///< offset in bytes: LEB128
  bit_field,           ///< size in bits: 1, offset in bits: LEB128
  signed_enumerator,   ///< value: signed LEB128
  unsigned_enumerator, ///< value: LEB128
  declared_structure,
  declared_union,
  declared_enumeration,
  type_definition,
  const_type,
  volatile_type,
  restrict_type,
  subroutine,
  parameter,
  more_parameters,
  subprogram, ///< begin: 8, size: 4
  variable,   ///< a byte 9, the operation "address", address: 8
};
inline constexpr std::size_t kShapes = static_cast<std::size_t>(Shape::variable) + 1;

struct EntryOptions {
  bool name = false;     ///< 4 bytes: its offset in .debug_str
  bool type = false;     ///< 4 bytes: the offset in the unit of another entry
  bool children = false; ///< entries up to a code of 0 are its children
};

/// Declares what is used. Not thread-safe.
class Abbreviations {
public:
  /// The code of such entries. There are fewer than 128, so that each is one byte.
  [[nodiscard]] std::uint8_t code(Shape shape, const EntryOptions& options);

  /// Content of .debug_abbrev.
  [[nodiscard]] std::vector<std::byte> take() &&;

private:
  void declare(std::uint8_t code, Shape shape, const EntryOptions& options);

  static constexpr std::size_t kOptions = 8;
  std::array<std::uint8_t, kShapes * kOptions> codes_{}; ///< 0: not declared yet
  std::uint8_t last_ = 0;
  ByteWriter declarations_;
};

/// Values of DWARF that entries have.
inline constexpr std::uint8_t kLanguageC99 = 0x0c;
inline constexpr std::uint8_t kOperationAddress = 0x03;
inline constexpr std::uint8_t kEncodingBoolean = 0x02;
inline constexpr std::uint8_t kEncodingFloat = 0x04;
inline constexpr std::uint8_t kEncodingSigned = 0x05;
inline constexpr std::uint8_t kEncodingSignedChar = 0x06;
inline constexpr std::uint8_t kEncodingUnsigned = 0x07;
inline constexpr std::uint8_t kEncodingUnsignedChar = 0x08;

} // namespace vmemfs::dwarf
