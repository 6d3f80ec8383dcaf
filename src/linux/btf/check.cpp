// SPDX-License-Identifier: MIT
#include "linux/btf/check.h"

#include "linux/btf/raw_type.h"

#include <bit>
#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <utility>

namespace vmemfs::btf {
namespace {

tl::unexpected<Error> invalid(std::string text) {
  return fail(ErrorKind::no_data, "btf", "cannot read a BTF: " + std::move(text));
}

struct Header {
  std::uint16_t magic;
  std::uint8_t version;
  std::uint8_t flags;
  std::uint32_t size;
  std::uint32_t types; ///< as all offsets, from the end of the header
  std::uint32_t types_bytes;
  std::uint32_t names;
  std::uint32_t names_bytes;
};
static_assert(sizeof(Header) == 24);

Result<Header> read_header(std::span<const std::byte> bytes) {
  constexpr std::uint16_t kMagic = 0xeb9f;
  if (bytes.size() < sizeof(Header) || bytes.size() > kMaxBytes) {
    return invalid(fmt::format("it has {} bytes", bytes.size()));
  }
  const auto header = load<Header>(bytes, 0);
  if (header.magic != kMagic || header.version != 1 || header.flags != 0) {
    return invalid("it does not begin as one");
  }
  // In 64 bits, as sums of three numbers of 32 bits.
  const std::uint64_t begin = header.size;
  const std::uint64_t types_end = begin + header.types + header.types_bytes;
  const std::uint64_t names_end = begin + header.names + header.names_bytes;
  if (begin < sizeof(Header) || types_end > begin + header.names || names_end > bytes.size()) {
    return invalid("a section lies outside of it");
  }
  return header;
}

/// `is_base`: the first name is the empty one.
Result<void> check_names(std::span<const std::byte> names, bool is_base) {
  if (names.empty() && !is_base) {
    return {};
  }
  if (names.empty() || names.back() != std::byte{0} || (is_base && names.front() != std::byte{0})) {
    return invalid("its names have no begin or no end");
  }
  for (std::size_t begin = 0; begin < names.size();) {
    const void* const found = std::memchr(&names[begin], 0, names.size() - begin);
    const auto end = static_cast<std::size_t>(static_cast<const std::byte*>(found) - names.data());
    if (end - begin > kMaxName) {
      return invalid(fmt::format("a name at {:#x} has more than {} bytes", begin, kMaxName));
    }
    begin = end + 1;
  }
  return {};
}

/// The largest number that any type has, and which type that is.
class Largest {
public:
  void see(std::uint32_t number, TypeId by) {
    if (number > number_) {
      number_ = number;
      by_ = by;
    }
  }
  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] TypeId by() const { return by_; }

private:
  std::uint32_t number_ = 0;
  TypeId by_ = kVoid;
};

/// Walks all types once. Whether the types that they name exist is known at the end only.
class TypeWalk {
public:
  TypeWalk(std::span<const std::byte> types, TypeId first) : types_{types}, first_{first} {}

  /// The offsets of the types.
  [[nodiscard]] Result<std::vector<std::uint32_t>> run() {
    // A type of a kernel takes 20 to 40 bytes.
    constexpr std::size_t kUsualBytes = 32;
    offsets_.reserve(types_.size() / kUsualBytes);
    while (at_ < types_.size()) {
      if (const auto problem = step()) {
        return invalid(fmt::format("type {} {}", next_id(), *problem));
      }
    }
    if (references_.number() >= next_id()) {
      return invalid(fmt::format("type {} refers to type {}, but there are {}", references_.by(),
                                 references_.number(), next_id() - 1));
    }
    return std::move(offsets_);
  }

  [[nodiscard]] const Largest& names() const { return names_; }

private:
  [[nodiscard]] TypeId next_id() const { return first_ + static_cast<TypeId>(offsets_.size()); }

  /// The type at at_, and moves on to the next one. Returns what is wrong with it.
  std::optional<std::string> step() {
    constexpr auto kLastKind = static_cast<std::uint8_t>(Kind::enumeration64);
    if (types_.size() - at_ < sizeof(RawType)) {
      return "is cut";
    }
    const auto type = load<RawType>(types_, at_);
    const Kind kind = type.kind();
    if (kind == Kind::void_type || static_cast<std::uint8_t>(kind) > kLastKind) {
      return fmt::format("is of the unknown kind {}", static_cast<std::uint8_t>(kind));
    }
    const std::size_t extra = at_ + sizeof(RawType);
    const std::size_t elements = extra + extra_bytes(kind);
    const std::size_t end = elements + element_bytes(kind) * type.count();
    if (end > types_.size()) {
      return "is cut";
    }
    if (offsets_.size() == kMaxTypes) {
      return fmt::format("is beyond the limit of {}", kMaxTypes);
    }
    if (!fits(type, extra)) {
      return fmt::format("has a size or a width that no type of kind {} has",
                         static_cast<std::uint8_t>(kind));
    }
    names_.see(type.name, next_id());
    see_references(type, extra);
    see_elements(type, elements);
    offsets_.push_back(static_cast<std::uint32_t>(at_));
    at_ = end;
    return std::nullopt;
  }

  /// What readers of values rely on.
  [[nodiscard]] bool fits(const RawType& type, std::size_t extra) const {
    constexpr std::uint32_t kMaxIntegerBytes = 16;
    constexpr std::uint32_t kMaxEnumerationBytes = 8;
    const std::uint32_t size = type.size_or_target;
    if (type.kind() == Kind::integer) {
      const auto info = load<std::uint32_t>(types_, extra);
      const std::uint32_t end_bit = (info & 0xffU) + ((info >> 16U) & 0xffU);
      return size > 0 && size <= kMaxIntegerBytes && end_bit <= 8 * size;
    }
    if (type.kind() == Kind::enumeration || type.kind() == Kind::enumeration64) {
      return std::has_single_bit(size) && size <= kMaxEnumerationBytes;
    }
    return type.kind() != Kind::floating || (size > 0 && size <= kMaxIntegerBytes);
  }

  void see_references(const RawType& type, std::size_t extra) {
    if (type.kind() == Kind::array) {
      references_.see(load<std::uint32_t>(types_, extra), next_id());
      references_.see(load<std::uint32_t>(types_, extra + 4), next_id());
    } else if (has_target(type.kind())) {
      references_.see(type.size_or_target, next_id());
    }
  }

  void see_elements(const RawType& type, std::size_t begin) {
    const Kind kind = type.kind();
    const std::size_t step = element_bytes(kind);
    const bool is_section = kind == Kind::data_section;
    // A member's type is behind its name, as that of a parameter; a variable of a section is a type itself.
    const bool has_types =
        kind == Kind::structure || kind == Kind::union_type || kind == Kind::function_prototype;
    const std::size_t count = step == 0 ? 0 : type.count();
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = begin + i * step;
      (is_section ? references_ : names_).see(load<std::uint32_t>(types_, at), next_id());
      if (has_types) {
        references_.see(load<std::uint32_t>(types_, at + 4), next_id());
      }
    }
  }

  std::span<const std::byte> types_;
  TypeId first_;
  std::size_t at_ = 0;
  std::vector<std::uint32_t> offsets_;
  Largest names_;
  Largest references_;
};

} // namespace

Result<CheckedBytes> check_bytes(std::span<const std::byte> bytes, TypeId first,
                                 std::uint32_t base_names_bytes) {
  const auto header = read_header(bytes);
  if (!header) {
    return tl::unexpected{header.error()};
  }
  const std::uint32_t types = header->size + header->types;
  const std::uint32_t names = header->size + header->names;
  if (const auto checked = check_names(bytes.subspan(names, header->names_bytes), base_names_bytes == 0);
      !checked) {
    return tl::unexpected{checked.error()};
  }
  TypeWalk walk{bytes.subspan(types, header->types_bytes), first};
  auto offsets = walk.run();
  if (!offsets) {
    return tl::unexpected{offsets.error()};
  }
  if (walk.names().number() >= base_names_bytes + header->names_bytes) {
    return invalid(fmt::format("a name of type {} lies outside of the names", walk.names().by()));
  }
  for (std::uint32_t& offset : *offsets) {
    offset += types;
  }
  return CheckedBytes{.names = names, .names_bytes = header->names_bytes, .offsets = std::move(*offsets)};
}

} // namespace vmemfs::btf
