// SPDX-License-Identifier: MIT
#include "vm/memory/address_space.h"

#include <algorithm>

namespace vmemfs {

tl::expected<std::uint64_t, ErrorKind> seek_data(const MemoryMap& map, std::uint64_t offset) {
  const auto stretch = map.at(Gpa{offset});
  const Gpa data = stretch.region != nullptr ? Gpa{offset} : stretch.range.end;
  if (data >= map.ram_end()) {
    return tl::unexpected{ErrorKind::past_end};
  }
  return data.value();
}

tl::expected<std::uint64_t, ErrorKind> seek_hole(const MemoryMap& map, std::uint64_t offset) {
  if (Gpa{offset} >= map.ram_end()) {
    return tl::unexpected{ErrorKind::past_end};
  }
  Gpa here{offset};
  for (auto stretch = map.at(here); stretch.region != nullptr; stretch = map.at(here)) {
    here = stretch.range.end;
  }
  return std::min(here, map.ram_end()).value();
}

} // namespace vmemfs
