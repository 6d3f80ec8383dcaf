// SPDX-License-Identifier: MIT
// Makes the bytes of a BTF, also wrong ones: nothing that it is given is checked.
//
//   BtfBuilder btf;
//   const auto u32 = btf.integer("unsigned int", 4);
//   btf.structure("pair", 8, {{.name = "a", .type = u32, .bit_offset = 0}, {.name = "b", .type = u32,
//   .bit_offset = 32}}); auto types = btf::Types::parse(btf.bytes());
#pragma once

#include "core/little_endian.h"
#include "linux/btf/kind.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

class BtfBuilder {
public:
  using Id = btf::TypeId;

  struct Member {
    std::string_view name{};
    Id type = 0;
    std::uint32_t bit_offset = 0;
    std::uint8_t bits = 0; ///< if any member has a width, the structure gets the kind flag
  };
  struct Named {
    std::string_view name{};
    std::uint64_t value = 0; ///< or a type
  };
  struct InSection {
    Id variable = 0;
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
  };

  static constexpr std::uint32_t kSigned = 1;
  static constexpr std::uint32_t kChar = 2;
  static constexpr std::uint32_t kBool = 4;

  BtfBuilder() : names_(1, '\0') {}
  /// For a module: continues the numbers and names of `base`, which gets no more.
  explicit BtfBuilder(const BtfBuilder& base) : base_names_{base.names_.size()}, next_{base.next_} {}

  /// `bits` 0: all of it.
  Id integer(std::string_view name, std::uint32_t size, std::uint32_t encoding = 0, std::uint32_t bits = 0,
             std::uint32_t bit_offset = 0) {
    const Id id = begin(btf::Kind::integer, name, size);
    put(encoding << 24U | bit_offset << 16U | (bits == 0 ? 8 * size : bits));
    return id;
  }

  /// A kind that refers to one type and has no more: pointers, qualifiers, type definitions, functions, tags.
  Id reference(btf::Kind kind, Id target, std::string_view name = {}, std::uint16_t count = 0) {
    return begin(kind, name, target, count);
  }
  Id pointer(Id target) { return reference(btf::Kind::pointer, target); }
  Id type_definition(std::string_view name, Id target) {
    return reference(btf::Kind::type_definition, target, name);
  }

  Id array(Id element, std::uint32_t count, Id index = 0) {
    const Id id = begin(btf::Kind::array, {}, 0);
    put(element);
    put(index);
    put(count);
    return id;
  }

  Id structure(std::string_view name, std::uint32_t size, const std::vector<Member>& members) {
    return composite(btf::Kind::structure, name, size, members);
  }
  Id union_type(std::string_view name, std::uint32_t size, const std::vector<Member>& members) {
    return composite(btf::Kind::union_type, name, size, members);
  }
  Id forward(std::string_view name, bool is_union = false) {
    return begin(btf::Kind::forward, name, 0, 0, is_union);
  }

  Id enumeration(std::string_view name, std::uint32_t size, bool is_signed,
                 const std::vector<Named>& values) {
    const Id id = begin(btf::Kind::enumeration, name, size, count_of(values), is_signed);
    for (const Named& value : values) {
      put(name_offset(value.name));
      put(static_cast<std::uint32_t>(value.value));
    }
    return id;
  }
  Id enumeration64(std::string_view name, bool is_signed, const std::vector<Named>& values) {
    const Id id = begin(btf::Kind::enumeration64, name, 8, count_of(values), is_signed);
    for (const Named& value : values) {
      put(name_offset(value.name));
      put(static_cast<std::uint32_t>(value.value));
      put(static_cast<std::uint32_t>(value.value >> 32U));
    }
    return id;
  }

  Id prototype(Id returns, const std::vector<Named>& parameters) {
    const Id id = begin(btf::Kind::function_prototype, {}, returns, count_of(parameters));
    for (const Named& parameter : parameters) {
      put(name_offset(parameter.name));
      put(static_cast<std::uint32_t>(parameter.value));
    }
    return id;
  }

  Id variable(std::string_view name, Id type, std::uint32_t linkage = 1) {
    const Id id = begin(btf::Kind::variable, name, type);
    put(linkage);
    return id;
  }
  Id section(std::string_view name, std::uint32_t size, const std::vector<InSection>& variables) {
    const Id id = begin(btf::Kind::data_section, name, size, count_of(variables));
    for (const InSection& one : variables) {
      put(one.variable);
      put(one.offset);
      put(one.size);
    }
    return id;
  }
  Id floating(std::string_view name, std::uint32_t size) { return begin(btf::Kind::floating, name, size); }
  Id declaration_tag(std::string_view value, Id target, std::uint32_t component) {
    const Id id = begin(btf::Kind::declaration_tag, value, target);
    put(component);
    return id;
  }

  /// The 12 bytes that all types have; what follows them is to be put.
  Id begin(btf::Kind kind, std::string_view name, std::uint32_t size_or_target, std::uint16_t count = 0,
           bool kind_flag = false) {
    put(name_offset(name));
    put(std::uint32_t{kind_flag} << 31U | static_cast<std::uint32_t>(kind) << 24U | count);
    put(size_or_target);
    return next_++;
  }
  void put(std::uint32_t number) {
    types_.resize(types_.size() + sizeof number);
    store_le(std::span{types_}, types_.size() - sizeof number, number);
  }

  /// Number of the next type.
  [[nodiscard]] Id next() const { return next_; }

  [[nodiscard]] std::vector<std::byte> bytes() const { return whole(types_, names_); }

  /// A header around these types and names.
  [[nodiscard]] static std::vector<std::byte> whole(std::span<const std::byte> types,
                                                    std::string_view names) {
    constexpr std::uint32_t kHeaderBytes = 24;
    std::vector<std::byte> bytes(kHeaderBytes);
    const auto types_bytes = static_cast<std::uint32_t>(types.size());
    store_le(std::span{bytes}, 0, std::uint32_t{0x0001eb9f});
    store_le(std::span{bytes}, 4, kHeaderBytes);
    store_le(std::span{bytes}, 8, std::uint32_t{0});
    store_le(std::span{bytes}, 12, types_bytes);
    store_le(std::span{bytes}, 16, types_bytes);
    store_le(std::span{bytes}, 20, static_cast<std::uint32_t>(names.size()));
    bytes.insert(bytes.end(), types.begin(), types.end());
    const auto name_bytes = std::as_bytes(std::span{names.data(), names.size()});
    bytes.insert(bytes.end(), name_bytes.begin(), name_bytes.end());
    return bytes;
  }

private:
  template <typename T> static std::uint16_t count_of(const std::vector<T>& elements) {
    return static_cast<std::uint16_t>(elements.size());
  }

  Id composite(btf::Kind kind, std::string_view name, std::uint32_t size,
               const std::vector<Member>& members) {
    const bool has_widths =
        std::ranges::any_of(members, [](const Member& member) { return member.bits != 0; });
    const Id id = begin(kind, name, size, count_of(members), has_widths);
    for (const Member& member : members) {
      put(name_offset(member.name));
      put(member.type);
      put(std::uint32_t{member.bits} << 24U | member.bit_offset);
    }
    return id;
  }

  std::uint32_t name_offset(std::string_view name) {
    if (name.empty()) {
      return 0;
    }
    const std::size_t offset = base_names_ + names_.size();
    names_ += name;
    names_ += '\0';
    return static_cast<std::uint32_t>(offset);
  }

  std::size_t base_names_ = 0;
  Id next_ = 1;
  std::vector<std::byte> types_;
  std::string names_;
};

} // namespace vmemfs
