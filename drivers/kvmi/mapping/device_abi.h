// SPDX-License-Identifier: MIT
// The two ABIs of /dev/kvmmem: numbers and structures of its ioctls, for which no kernel header exists.
#pragma once

#include "core/gpa.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace vmemfs::kvmi {

/// What GET_MAP_TOKEN gives: the right to map one page once.
using MapToken = std::array<std::byte, 32>;

/// One page, which takes the place of a page of ours.
namespace first_abi {
inline constexpr unsigned long kMap = 0x40306901;
inline constexpr unsigned long kUnmap = 0x40086902; ///< argument: the address of our page itself
struct Map {
  MapToken token;
  std::uint64_t gpa;
  std::uint64_t address;
};
static_assert(sizeof(Map) == 48);
} // namespace first_abi

/// A region around one page, which is then mapped from the file at its guest physical address.
namespace second_abi {
inline constexpr unsigned long kStart = 0x40086901; ///< argument: pointer to the VM's uuid
inline constexpr unsigned long kMap = 0xc0306902;
inline constexpr unsigned long kUnmap = 0x40086903; ///< argument: the region's first address itself
struct Map {
  MapToken token;
  std::uint64_t gpa;    ///< in: the page; out: the region's first address
  std::uint64_t length; ///< out
};
static_assert(sizeof(Map) == 48);
} // namespace second_abi

} // namespace vmemfs::kvmi
