// SPDX-License-Identifier: MIT
// Entries of a unit of DWARF 4, which refer to one another by numbers of types.
//
// An entry may refer to a type that comes later, so its offset is filled in at the end.
#pragma once

#include "linux/btf/types.h"
#include "linux/vmlinux/byte_writer.h"
#include "linux/vmlinux/dwarf/abbreviations.h"
#include "linux/vmlinux/dwarf/strings.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace vmemfs::dwarf {

/// Contents of sections.
struct Sections {
  std::vector<std::byte> abbreviations; ///< .debug_abbrev
  std::vector<std::byte> info;          ///< .debug_info
  std::vector<std::byte> strings;       ///< .debug_str
};

/// Not thread-safe.
class Entries {
public:
  /// `types`: outlives this object.
  explicit Entries(const btf::Types& types);

  /// Begins an entry; what its shape has follows by out(). `name`: empty if it has none. `type`: a number
  /// that is defined sooner or later, or kVoid.
  void begin(Shape shape, std::string_view name, btf::TypeId type, bool children = false);
  /// The entry that begins next is the one of this type.
  void define(btf::TypeId type) { offsets_[type] = static_cast<std::uint32_t>(out_.size()); }
  /// A number for a type that BTF does not have.
  [[nodiscard]] btf::TypeId new_type();
  /// Ends the children of an entry.
  void end_children() { out_.number(std::uint8_t{0}); }

  [[nodiscard]] ByteWriter& out() { return out_; }

  [[nodiscard]] Sections take() &&;

private:
  struct Reference {
    std::uint32_t position; ///< in out_, of an offset that is still to be filled in
    btf::TypeId type;
  };

  ByteWriter out_;
  Abbreviations abbreviations_;
  Strings strings_;
  std::vector<std::uint32_t> offsets_; ///< of each type
  std::vector<Reference> references_;
};

} // namespace vmemfs::dwarf
