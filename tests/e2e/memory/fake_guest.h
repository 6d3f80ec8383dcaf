// SPDX-License-Identifier: MIT
// The bytes in the memory of a guest of the driver `fake`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmemfs::test {

/// The byte at a guest physical address.
constexpr std::byte fake_byte(std::uint64_t address) {
  const std::uint64_t word = (address / 8) * 0x9e3779b97f4a7c15U ^ 0x766d656d66735f31U;
  return static_cast<std::byte>(word >> (8 * (address % 8)));
}

} // namespace vmemfs::test
