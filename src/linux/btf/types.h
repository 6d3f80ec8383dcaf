// SPDX-License-Identifier: MIT
// BTF: the types of a Linux kernel, as it has them in its memory.
//
// Format: Documentation/bpf/btf.rst of the kernel. The bytes come from the guest and can say anything, so all
// of them are checked once; after that, nothing here fails or leaves the bytes.
#pragma once

#include "core/error.h"
#include "linux/btf/kind.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace vmemfs::btf {

struct Type {
  Kind kind;
  bool kind_flag;        ///< of enumerations: signed; of a forward: a union
  std::uint16_t count;   ///< of members, enumerators, parameters or variables
  std::string_view name; ///< empty: it has none
  std::uint32_t size;    ///< bytes; of an integer, structure, union, enumeration, floating, data section
  TypeId target;         ///< of all kinds that refer to one type; of a prototype: what it returns
};

struct Integer {
  bool is_signed;
  bool is_char;
  bool is_bool;
  std::uint8_t bit_offset;
  std::uint8_t bits;
};

struct Array {
  TypeId element;
  TypeId index;
  std::uint32_t count;
};

struct Member {
  std::string_view name; ///< empty: anonymous
  TypeId type;
  std::uint32_t bit_offset;   ///< from the begin of the structure
  std::uint8_t bitfield_bits; ///< 0: it is not a bit field
};

struct Enumerator {
  std::string_view name;
  std::uint64_t value; ///< extended by its sign if the enumeration is signed
};

struct Parameter {
  std::string_view name; ///< empty with kVoid as the last one: more follow ("...")
  TypeId type;
};

struct SectionVariable {
  TypeId variable;
  std::uint32_t offset; ///< in the section
  std::uint32_t size;
};

/// A member at any depth.
struct Field {
  std::uint64_t offset; ///< bytes from the begin of the outer structure
  std::uint64_t size;   ///< bytes
  TypeId type;          ///< without qualifiers and type definitions
};

/// Immutable, so thread-safe.
class Types {
public:
  /// The bytes of a whole BTF, with its header. `base`: for those of a module, the kernel's, whose numbers
  /// and names it continues; it has no base itself. invalid: what is wrong with the bytes.
  [[nodiscard]] static Result<std::shared_ptr<const Types>>
  parse(std::vector<std::byte> bytes, std::shared_ptr<const Types> base = nullptr);
  ~Types() = default;
  Types(const Types&) = delete;
  Types& operator=(const Types&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  /// Own types are those from first() to before end(); those of the base are before. All calls below take an
  /// id before end(), and those for one kind a type of it.
  [[nodiscard]] TypeId first() const { return first_; }
  [[nodiscard]] TypeId end() const { return first_ + static_cast<TypeId>(offsets_.size()); }

  [[nodiscard]] Type type(TypeId id) const;
  [[nodiscard]] Integer integer(TypeId id) const;
  [[nodiscard]] Array array(TypeId id) const;
  [[nodiscard]] Member member(TypeId id, std::size_t index) const;         ///< of a structure or union
  [[nodiscard]] Enumerator enumerator(TypeId id, std::size_t index) const; ///< of both enumerations
  [[nodiscard]] Parameter parameter(TypeId id, std::size_t index) const;   ///< of a function_prototype
  [[nodiscard]] SectionVariable section_variable(TypeId id, std::size_t index) const;

  /// The first type of this kind with this name, in the base too.
  [[nodiscard]] std::optional<TypeId> find(Kind kind, std::string_view name) const;

  /// Without type definitions, qualifiers and type tags; kVoid if they never end.
  [[nodiscard]] TypeId resolve(TypeId id) const;
  /// Bytes of a value of this type, where pointers have 8; nullopt: it has no size, as void or a function, or
  /// one beyond reason.
  [[nodiscard]] std::optional<std::uint64_t> size_of(TypeId id) const;

  /// A member of a structure or union by its path, such as "f_path.dentry". Members of anonymous structures
  /// and unions need no name of those. nullopt: there is none, it is a bit field, it has no size, or it lies
  /// outside of the outer structure.
  [[nodiscard]] std::optional<Field> field(TypeId outer, std::string_view path) const;
  /// The same by the name of a structure, such as "task_struct".
  [[nodiscard]] std::optional<Field> field(std::string_view structure, std::string_view path) const;

  /// Memory that this object takes, in bytes.
  [[nodiscard]] std::size_t memory() const;

private:
  Types() = default;

  [[nodiscard]] const Types& owner(TypeId id) const { return id < first_ && base_ ? *base_ : *this; }
  /// Offset in bytes_ of an own type, and of what follows its first 12 bytes.
  [[nodiscard]] std::size_t at(TypeId id) const { return offsets_[id - first_]; }
  [[nodiscard]] std::size_t behind(TypeId id) const;
  [[nodiscard]] std::string_view name(std::uint32_t offset) const;
  void sort_names();

  std::vector<std::byte> bytes_;
  std::shared_ptr<const Types> base_;
  TypeId first_ = 1;
  std::uint32_t base_names_bytes_ = 0; ///< names below this offset are those of the base
  std::uint32_t names_ = 0;            ///< where the own ones begin in bytes_
  std::uint32_t names_bytes_ = 0;
  std::vector<std::uint32_t> offsets_; ///< of each own type in bytes_
  std::vector<TypeId> by_name_;        ///< own types with a name, sorted by kind, name and number
};

} // namespace vmemfs::btf
