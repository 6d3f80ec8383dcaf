// SPDX-License-Identifier: MIT
#include "image/image_layout.h"

#include <algorithm>

namespace vmemfs {

std::vector<GpaRange> image_ranges(const MemoryMap& map) {
  std::vector<GpaRange> ranges;
  for (const Region& region : map.regions()) {
    if (region.range.begin >= map.ram_end()) {
      break;
    }
    const Gpa end = std::min(region.range.end, map.ram_end());
    if (!ranges.empty() && ranges.back().end == region.range.begin) {
      ranges.back().end = end;
    } else {
      ranges.push_back({region.range.begin, end});
    }
  }
  return ranges;
}

std::uint64_t bytes_of(std::span<const GpaRange> ranges) {
  std::uint64_t bytes = 0;
  for (const GpaRange& range : ranges) {
    bytes += range.size();
  }
  return bytes;
}

void ImageLayout::add_made(std::uint64_t bytes) {
  if (bytes != 0) {
    parts_.push_back({size(), size() + bytes, Source::made, made_bytes_});
    made_bytes_ += bytes;
  }
}

void ImageLayout::add_guest(const GpaRange& range) {
  if (!range.empty()) {
    parts_.push_back({size(), size() + range.size(), Source::guest, range.begin.value()});
  }
}

std::span<const ImageLayout::Part> ImageLayout::parts_from(std::uint64_t offset) const {
  const auto first = std::ranges::upper_bound(parts_, offset, {}, &Part::end);
  return {first, parts_.end()};
}

} // namespace vmemfs
