// SPDX-License-Identifier: MIT
#include "image/packed/snappy_packer.h"

#include "image/saved/avml/snappy_format.h"
#include "util/zeros.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <snappy-c.h>

namespace vmemfs {
namespace {

constexpr std::size_t kPrefix = kSnappyHeaderBytes + kSnappyChecksumBytes;

/// Packs one chunk; returns its size.
std::size_t pack_chunk(std::span<const std::byte> plain, std::span<std::byte> packed) {
  const std::span<std::byte> content = packed.subspan(kPrefix);
  std::size_t size = content.size();
  std::uint32_t type = kSnappyPacked;
  if (::snappy_compress(reinterpret_cast<const char*>(plain.data()), plain.size(),
                        reinterpret_cast<char*>(content.data()), &size) != SNAPPY_OK ||
      size >= plain.size() - plain.size() / 8) {
    type = kSnappyPlain;
    size = plain.size();
    std::ranges::copy(plain, content.begin());
  }
  const auto length = static_cast<std::uint32_t>(size + kSnappyChecksumBytes);
  const std::array<std::uint32_t, 2> prefix{type | length << 8U, snappy_checksum(plain)};
  static_assert(sizeof prefix == kPrefix);
  std::memcpy(packed.data(), prefix.data(), sizeof prefix);
  return kPrefix + size;
}

} // namespace

SnappyPacker::SnappyPacker() : zeros_(max_bytes(kMaxSnappyPlain)) {
  zeros_.resize(pack_chunk(zeros().first(kMaxSnappyPlain), zeros_));
}

std::size_t SnappyPacker::max_bytes(std::size_t plain_bytes) {
  const std::size_t full = plain_bytes / kMaxSnappyPlain * (kPrefix + kMaxSnappyPlain);
  return full + kPrefix + ::snappy_max_compressed_length(kMaxSnappyPlain); // the last one is packed in place
}

std::size_t SnappyPacker::pack(std::span<const std::byte> plain, std::span<std::byte> packed) const {
  std::size_t size = 0;
  while (!plain.empty()) {
    const auto chunk = plain.first(std::min<std::size_t>(plain.size(), kMaxSnappyPlain));
    if (chunk.size() == kMaxSnappyPlain && is_zero(chunk)) {
      std::ranges::copy(zeros_, packed.subspan(size).begin());
      size += zeros_.size();
    } else {
      size += pack_chunk(chunk, packed.subspan(size));
    }
    plain = plain.subspan(chunk.size());
  }
  return size;
}

} // namespace vmemfs
