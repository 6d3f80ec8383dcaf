// SPDX-License-Identifier: MIT
// Constants of snappy's framing format (framing_format.txt), for its reader and its writer.
#pragma once

#include "image/saved/avml/crc32c.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs {

/// Types of chunks. Each has a header of four bytes, its type and the length of its content in three; the
/// content of these two begins with the checksum of the plain bytes.
inline constexpr std::uint32_t kSnappyPacked = 0x00;
inline constexpr std::uint32_t kSnappyPlain = 0x01;
inline constexpr std::uint32_t kSnappyFirstToSkip = 0x80; ///< and all above: padding, the begin of a stream

inline constexpr std::uint32_t kSnappyHeaderBytes = 4;
inline constexpr std::uint32_t kSnappyChecksumBytes = 4;
inline constexpr std::uint32_t kMaxSnappyPlain = 65536; ///< plain bytes of a chunk

/// The checksum of a chunk, of its plain bytes.
[[nodiscard]] inline std::uint32_t snappy_checksum(std::span<const std::byte> plain) {
  const std::uint32_t crc = crc32c(plain);
  return ((crc >> 15U) | (crc << 17U)) + 0xa282ead8U;
}

} // namespace vmemfs
