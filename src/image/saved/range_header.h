// SPDX-License-Identifier: MIT
// The header before each range of LiME images, version 1, and of compressed AVML images, version 2. Formats:
// LiME's doc/README.md, AVML's src/image.rs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace vmemfs {

/// Numbers are little-endian.
struct RangeHeader {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t first; ///< guest physical address
  std::uint64_t last;  ///< inclusive
  std::uint64_t reserved;
};
static_assert(sizeof(RangeHeader) == 32);

/// Whether a file that begins with these bytes begins with this magic.
[[nodiscard]] inline bool begins_with_magic(std::span<const std::byte> head, std::uint32_t magic) {
  std::uint32_t first = 0;
  if (head.size() < sizeof(first)) {
    return false;
  }
  std::memcpy(&first, head.data(), sizeof(first));
  return first == magic;
}

} // namespace vmemfs
