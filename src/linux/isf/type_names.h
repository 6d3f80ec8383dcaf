// SPDX-License-Identifier: MIT
// The names that the structures, unions and enumerations of a BTF have in an ISF.
//
// There every type has one name, and structures share theirs with unions. In a BTF several can have the same,
// or none. The most referenced one keeps a name, the others have their number behind it; one without a name
// has that of a type definition, if there is one. A name of the guest can look like one with a number; such
// doubles have the same name.
#pragma once

#include "linux/btf/types.h"
#include "linux/isf/json_text.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace vmemfs::isf {

/// Immutable.
class TypeNames {
public:
  /// `types`: outlives this object.
  explicit TypeNames(const btf::Types& types);

  /// Of a structure, union or enumeration: appends the name.
  void append(JsonText& text, btf::TypeId id) const;

  /// A further name of a structure or union, from a type definition.
  struct Alias {
    std::string_view name;
    btf::TypeId type;
  };
  [[nodiscard]] const std::vector<Alias>& aliases() const { return aliases_; }

private:
  struct Name {
    std::string_view text; ///< empty: it has none
    bool is_numbered = false;
  };
  /// Why a type could have a name; the first reason wins.
  enum class Reason : std::uint8_t { own, definition, further_definition };
  struct Candidate {
    std::string_view name;
    bool is_enumeration;
    Reason reason;
    std::uint32_t references;
    btf::TypeId type;
  };

  [[nodiscard]] std::vector<std::uint32_t> count_references() const;
  [[nodiscard]] std::vector<Candidate> candidates() const;
  void give(const Candidate& candidate, bool is_first);

  const btf::Types& types_;
  std::vector<Name> names_; ///< by number of the type
  std::vector<Alias> aliases_;
};

} // namespace vmemfs::isf
