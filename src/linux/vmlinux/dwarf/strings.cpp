// SPDX-License-Identifier: MIT
#include "linux/vmlinux/dwarf/strings.h"

#include <functional>

namespace vmemfs::dwarf {
namespace {

std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof(std::uint32_t); ++i) {
    number |= std::to_integer<std::uint64_t>(bytes[offset + i]) << (8 * i);
  }
  return number;
}

/// The strings of BTF by its header, whose fields are checked already.
std::span<const std::byte> strings_of(std::span<const std::byte> btf) {
  constexpr std::size_t kHeaderBytes = 24;
  if (btf.size() < kHeaderBytes) {
    return {};
  }
  const std::uint64_t begin = number_at(btf, 4) + number_at(btf, 16);
  const std::uint64_t size = number_at(btf, 20);
  return begin <= btf.size() && size <= btf.size() - begin ? btf.subspan(begin, size)
                                                           : std::span<const std::byte>{};
}

} // namespace

Strings::Strings(const btf::Types& types) : of_types_{strings_of(types.bytes())} {
  strings_.append(of_types_);
  strings_.number(std::uint8_t{0});
}

std::uint32_t Strings::offset(std::string_view text) {
  // The names are views of the bytes, where a NUL follows them.
  const auto* const begin = reinterpret_cast<const char*>(of_types_.data());
  const auto* const end = begin + of_types_.size();
  if (std::less_equal<>{}(begin, text.data()) && std::less<>{}(text.data(), end)) {
    return static_cast<std::uint32_t>(text.data() - begin);
  }
  const auto offset = static_cast<std::uint32_t>(strings_.size());
  strings_.text(text);
  return offset;
}

} // namespace vmemfs::dwarf
