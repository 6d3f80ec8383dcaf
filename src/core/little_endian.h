// SPDX-License-Identifier: MIT
// Numbers in little-endian byte order, as most file formats and architectures have them.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs {

/// Stores `value` at `offset`, which must have room for it.
template <std::unsigned_integral T>
constexpr void store_le(std::span<std::byte> bytes, std::size_t offset, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[offset + i] = static_cast<std::byte>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xffU);
  }
}

/// The number at `offset`; all of it must be there.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_le(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= std::to_integer<std::uint64_t>(bytes[offset + i]) << (8 * i);
  }
  return static_cast<T>(value);
}

} // namespace vmemfs
