// SPDX-License-Identifier: MIT
// Writer of streams in snappy's framing format (framing_format.txt of snappy).
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace vmemfs {

/// Begin of each stream: a chunk that names the format.
inline constexpr std::array<unsigned char, 10> kSnappyStreamBegin{0xff, 6,   0,   0,   's',
                                                                  'N',  'a', 'P', 'p', 'Y'};

/// Thread-safe. Its own memory is that of the first call; libsnappy takes some for each chunk of 64 KiB.
class SnappyPacker {
public:
  SnappyPacker();

  /// Room that pack() needs for so many bytes; more than it fills.
  [[nodiscard]] static std::size_t max_bytes(std::size_t plain_bytes);

  /// Packs `plain` as chunks of 64 KiB, the last one of what is left. Chunks that do not become smaller by an
  /// eighth are stored plain. Returns the number of bytes.
  [[nodiscard]] std::size_t pack(std::span<const std::byte> plain, std::span<std::byte> packed) const;

private:
  std::vector<std::byte> zeros_; ///< chunk of 64 KiB of zeros: much of a guest's memory
};

} // namespace vmemfs
