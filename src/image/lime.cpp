// SPDX-License-Identifier: MIT
#include "image/lime.h"

#include "core/little_endian.h"

namespace vmemfs {

std::uint64_t lime_bytes(std::span<const GpaRange> ranges) {
  return ranges.size() * kLimeHeaderBytes + bytes_of(ranges);
}

ImageLayout lime_layout(std::span<const GpaRange> ranges) {
  ImageLayout layout;
  for (const GpaRange& range : ranges) {
    layout.add_made(kLimeHeaderBytes);
    layout.add_guest(range);
  }
  return layout;
}

std::vector<std::byte> lime_headers(std::span<const GpaRange> ranges) {
  constexpr std::uint32_t kMagic = 0x4C694D45;
  constexpr std::uint32_t kVersion = 1;
  std::vector<std::byte> bytes(ranges.size() * kLimeHeaderBytes);
  std::span<std::byte> rest{bytes};
  for (const GpaRange& range : ranges) {
    store_le(rest, 0, kMagic);
    store_le(rest, 4, kVersion);
    store_le(rest, 8, range.begin.value());
    store_le(rest, 16, range.end.value() - 1); // the format's end is inclusive; 8 reserved bytes follow
    rest = rest.subspan(kLimeHeaderBytes);
  }
  return bytes;
}

} // namespace vmemfs
