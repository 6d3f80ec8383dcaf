// SPDX-License-Identifier: MIT
#include "linux/btf/types.h"

#include "linux/btf/check.h"
#include "linux/btf/raw_type.h"

#include <algorithm>
#include <utility>

namespace vmemfs::btf {
namespace {

/// A name as it is sorted: its first bytes as a number decide most comparisons.
struct SortedName {
  std::uint64_t prefix; ///< the kind and 7 bytes
  std::uint32_t name;   ///< offset
  TypeId id;
};

std::uint64_t prefix_of(Kind kind, std::string_view name) {
  constexpr std::size_t kBytes = 7;
  std::uint64_t prefix = static_cast<std::uint64_t>(kind);
  for (std::size_t i = 0; i < kBytes; ++i) {
    prefix = prefix << 8U | (i < name.size() ? static_cast<unsigned char>(name[i]) : 0U);
  }
  return prefix;
}

} // namespace

Result<std::shared_ptr<const Types>> Types::parse(std::vector<std::byte> bytes,
                                                  std::shared_ptr<const Types> base) {
  if (base && base->base_) {
    return fail(ErrorKind::no_data, "btf", "cannot read a BTF: its base is one of a module");
  }
  const TypeId first = base ? base->end() : 1;
  const std::uint32_t base_names_bytes = base ? base->names_bytes_ : 0;
  auto checked = check_bytes(bytes, first, base_names_bytes);
  if (!checked) {
    return tl::unexpected{std::move(checked.error())};
  }
  const std::shared_ptr<Types> types{new Types};
  types->bytes_ = std::move(bytes);
  types->base_ = std::move(base);
  types->first_ = first;
  types->base_names_bytes_ = base_names_bytes;
  types->names_ = checked->names;
  types->names_bytes_ = checked->names_bytes;
  types->offsets_ = std::move(checked->offsets);
  types->sort_names();
  return types;
}

void Types::sort_names() {
  std::vector<SortedName> sorted;
  sorted.reserve(offsets_.size());
  for (TypeId id = first_; id < end(); ++id) {
    const auto raw = load<RawType>(bytes_, at(id));
    if (const std::string_view found = name(raw.name); !found.empty()) {
      sorted.push_back({.prefix = prefix_of(raw.kind(), found), .name = raw.name, .id = id});
    }
  }
  std::ranges::sort(sorted, [this](const SortedName& a, const SortedName& b) {
    if (a.prefix != b.prefix) {
      return a.prefix < b.prefix;
    }
    const int order = a.name == b.name ? 0 : name(a.name).compare(name(b.name));
    return order == 0 ? a.id < b.id : order < 0;
  });
  by_name_.reserve(sorted.size());
  for (const SortedName& entry : sorted) {
    by_name_.push_back(entry.id);
  }
}

std::string_view Types::name(std::uint32_t offset) const {
  if (offset < base_names_bytes_) {
    return base_->name(offset);
  }
  // check_bytes() has seen to it that it ends.
  const std::byte* const begin = bytes_.data() + names_ + (offset - base_names_bytes_);
  return reinterpret_cast<const char*>(begin);
}

std::size_t Types::behind(TypeId id) const { return at(id) + sizeof(RawType); }

Type Types::type(TypeId id) const {
  if (id == kVoid) {
    return {.kind = Kind::void_type, .kind_flag = false, .count = 0, .name = {}, .size = 0, .target = kVoid};
  }
  const Types& types = owner(id);
  const auto raw = load<RawType>(types.bytes_, types.at(id));
  const Kind kind = raw.kind();
  return {.kind = kind,
          .kind_flag = raw.kind_flag(),
          .count = element_bytes(kind) == 0 ? std::uint16_t{0} : raw.count(),
          .name = types.name(raw.name),
          .size = has_size(kind) ? raw.size_or_target : 0,
          .target = has_target(kind) ? raw.size_or_target : kVoid};
}

Integer Types::integer(TypeId id) const {
  constexpr std::uint32_t kSigned = 1U << 24U;
  constexpr std::uint32_t kChar = 1U << 25U;
  constexpr std::uint32_t kBool = 1U << 26U;
  const Types& types = owner(id);
  const auto info = load<std::uint32_t>(types.bytes_, types.behind(id));
  return {.is_signed = (info & kSigned) != 0,
          .is_char = (info & kChar) != 0,
          .is_bool = (info & kBool) != 0,
          .bit_offset = static_cast<std::uint8_t>((info >> 16U) & 0xffU),
          .bits = static_cast<std::uint8_t>(info & 0xffU)};
}

Array Types::array(TypeId id) const {
  struct Raw {
    std::uint32_t element;
    std::uint32_t index;
    std::uint32_t count;
  };
  const Types& types = owner(id);
  const auto raw = load<Raw>(types.bytes_, types.behind(id));
  return {.element = raw.element, .index = raw.index, .count = raw.count};
}

Member Types::member(TypeId id, std::size_t index) const {
  struct Raw {
    std::uint32_t name;
    std::uint32_t type;
    std::uint32_t offset;
  };
  const Types& types = owner(id);
  const bool has_widths = load<RawType>(types.bytes_, types.at(id)).kind_flag();
  const auto raw = load<Raw>(types.bytes_, types.behind(id) + index * sizeof(Raw));
  Member member{.name = types.name(raw.name), .type = raw.type, .bit_offset = raw.offset, .bitfield_bits = 0};
  if (has_widths) {
    member.bit_offset = raw.offset & 0xffffffU;
    member.bitfield_bits = static_cast<std::uint8_t>(raw.offset >> 24U);
    return member;
  }
  // Before the kind flag existed, a bit field had an integer type of its own that said the width.
  const TypeId value = resolve(raw.type);
  const Type type = this->type(value);
  if (type.kind == Kind::integer) {
    const Integer number = integer(value);
    if (number.bits != 8 * type.size) {
      member.bit_offset += number.bit_offset;
      member.bitfield_bits = number.bits;
    }
  }
  return member;
}

Enumerator Types::enumerator(TypeId id, std::size_t index) const {
  struct Raw {
    std::uint32_t name;
    std::uint32_t low;
    std::uint32_t high; ///< of those of 64 bits
  };
  const Types& types = owner(id);
  const auto type = load<RawType>(types.bytes_, types.at(id));
  const std::size_t at = types.behind(id) + index * element_bytes(type.kind());
  if (type.kind() == Kind::enumeration64) {
    const auto raw = load<Raw>(types.bytes_, at);
    return {.name = types.name(raw.name), .value = static_cast<std::uint64_t>(raw.high) << 32U | raw.low};
  }
  const auto value = load<std::int32_t>(types.bytes_, at + sizeof(std::uint32_t));
  return {.name = types.name(load<std::uint32_t>(types.bytes_, at)),
          .value = type.kind_flag() ? static_cast<std::uint64_t>(static_cast<std::int64_t>(value))
                                    : static_cast<std::uint32_t>(value)};
}

Parameter Types::parameter(TypeId id, std::size_t index) const {
  struct Raw {
    std::uint32_t name;
    std::uint32_t type;
  };
  const Types& types = owner(id);
  const auto raw = load<Raw>(types.bytes_, types.behind(id) + index * sizeof(Raw));
  return {.name = types.name(raw.name), .type = raw.type};
}

SectionVariable Types::section_variable(TypeId id, std::size_t index) const {
  struct Raw {
    std::uint32_t variable;
    std::uint32_t offset;
    std::uint32_t size;
  };
  const Types& types = owner(id);
  const auto raw = load<Raw>(types.bytes_, types.behind(id) + index * sizeof(Raw));
  return {.variable = raw.variable, .offset = raw.offset, .size = raw.size};
}

std::optional<TypeId> Types::find(Kind kind, std::string_view name) const {
  if (name.empty()) {
    return std::nullopt;
  }
  if (base_) {
    if (const auto found = base_->find(kind, name)) {
      return found;
    }
  }
  const auto key = [this](TypeId id) {
    const auto raw = load<RawType>(bytes_, at(id));
    return std::pair{raw.kind(), this->name(raw.name)};
  };
  const auto wanted = std::pair{kind, name};
  const auto found = std::ranges::lower_bound(by_name_, wanted, {}, key);
  return found != by_name_.end() && key(*found) == wanted ? std::optional{*found} : std::nullopt;
}

std::size_t Types::memory() const {
  return sizeof *this + bytes_.capacity() + offsets_.capacity() * sizeof offsets_[0] +
         by_name_.capacity() * sizeof by_name_[0];
}

} // namespace vmemfs::btf
