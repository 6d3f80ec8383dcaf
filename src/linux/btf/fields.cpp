// SPDX-License-Identifier: MIT
// What Types says of values: their size, and where the members of a structure lie. Types may refer to each
// other in circles and nest without end, so every way has a limit.
#include "linux/btf/raw_type.h"
#include "linux/btf/types.h"

namespace vmemfs::btf {
namespace {

/// Max type definitions and qualifiers around a type, and max arrays of arrays: as the kernel has it.
constexpr int kMaxNesting = 32;

/// Max size of a value.
constexpr std::uint64_t kMaxValueBytes = std::uint64_t{1} << 40U;

/// Max members that the search for one compares. The largest structures of kernels have some hundred.
constexpr std::size_t kMaxCompared = std::size_t{1} << 13U;

bool is_structure(Kind kind) { return kind == Kind::structure || kind == Kind::union_type; }

/// Whether a value of this type is one of the type that it refers to.
bool is_wrapper(Kind kind) {
  return kind == Kind::type_definition || kind == Kind::volatile_type || kind == Kind::const_type ||
         kind == Kind::restrict_type || kind == Kind::type_tag;
}

struct Place {
  TypeId type;
  std::uint64_t bit_offset;
};

/// A member that is no bit field, in `outer` or in the anonymous structures and unions inside.
std::optional<Place> find_member(const Types& types, TypeId outer, std::string_view name) {
  std::vector<Place> structures{{.type = outer, .bit_offset = 0}};
  std::size_t compared = 0;
  for (std::size_t next = 0; next < structures.size(); ++next) {
    const Place structure = structures[next];
    const std::size_t count = types.type(structure.type).count;
    for (std::size_t i = 0; i < count && compared < kMaxCompared; ++i, ++compared) {
      const Member member = types.member(structure.type, i);
      const auto place = [&] {
        return Place{.type = types.resolve(member.type),
                     .bit_offset = structure.bit_offset + member.bit_offset};
      };
      if (member.name.empty()) {
        if (const Place inner = place(); is_structure(types.type(inner.type).kind)) {
          structures.push_back(inner);
        }
      } else if (member.name == name) {
        return member.bitfield_bits == 0 ? std::optional{place()} : std::nullopt;
      }
    }
  }
  return std::nullopt;
}

} // namespace

TypeId Types::resolve(TypeId id) const {
  for (int i = 0; i < kMaxNesting && id != kVoid; ++i) {
    const Types& types = owner(id);
    const auto raw = load<RawType>(types.bytes_, types.at(id));
    if (!is_wrapper(raw.kind())) {
      return id;
    }
    id = raw.size_or_target;
  }
  return kVoid;
}

std::optional<std::uint64_t> Types::size_of(TypeId id) const {
  constexpr std::uint64_t kPointerBytes = 8;
  std::uint64_t elements = 1; // at most kMaxValueBytes, so a product with 32 bits more does not wrap twice
  for (int i = 0; i < kMaxNesting; ++i) {
    id = resolve(id);
    const Type found = type(id);
    std::uint64_t size = found.size;
    switch (found.kind) {
    case Kind::array: {
      const Array one = array(id);
      id = one.element;
      if (one.count != 0 && elements > kMaxValueBytes / one.count) {
        return std::nullopt;
      }
      elements *= one.count;
      continue;
    }
    case Kind::pointer: size = kPointerBytes; break;
    case Kind::integer:
    case Kind::structure:
    case Kind::union_type:
    case Kind::enumeration:
    case Kind::enumeration64:
    case Kind::data_section:
    case Kind::floating: break;
    case Kind::void_type:
    case Kind::forward:
    case Kind::type_definition:
    case Kind::volatile_type:
    case Kind::const_type:
    case Kind::restrict_type:
    case Kind::function:
    case Kind::function_prototype:
    case Kind::variable:
    case Kind::declaration_tag:
    case Kind::type_tag: return std::nullopt;
    }
    return size == 0 || elements <= kMaxValueBytes / size ? std::optional{elements * size} : std::nullopt;
  }
  return std::nullopt;
}

std::optional<Field> Types::field(TypeId outer, std::string_view path) const {
  Place place{.type = resolve(outer), .bit_offset = 0};
  const auto outer_size = size_of(place.type);
  while (true) {
    const std::size_t dot = path.find('.');
    if (!is_structure(type(place.type).kind)) {
      return std::nullopt;
    }
    const auto found = find_member(*this, place.type, path.substr(0, dot));
    if (!found) {
      return std::nullopt;
    }
    place = {.type = found->type, .bit_offset = place.bit_offset + found->bit_offset};
    if (dot == std::string_view::npos) {
      break;
    }
    path.remove_prefix(dot + 1);
  }
  const auto size = size_of(place.type);
  const std::uint64_t offset = place.bit_offset / 8;
  if (place.bit_offset % 8 != 0 || !size || offset + *size > outer_size) {
    return std::nullopt;
  }
  return Field{.offset = offset, .size = *size, .type = place.type};
}

std::optional<Field> Types::field(std::string_view structure, std::string_view path) const {
  const auto outer = find(Kind::structure, structure);
  return outer ? field(*outer, path) : std::nullopt;
}

} // namespace vmemfs::btf
