// SPDX-License-Identifier: MIT
// Numbers of KVMI messages: little-endian, at fixed offsets.
#pragma once

#include "core/little_endian.h"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs::kvmi {

/// The number at `offset`, which `bytes` must contain.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_le(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= std::to_integer<std::uint64_t>(bytes[offset + i]) << (8 * i);
  }
  return static_cast<T>(value);
}

} // namespace vmemfs::kvmi
