// SPDX-License-Identifier: MIT
#include "vm/memory/memory_search.h"

#include <algorithm>

namespace vmemfs {

UseSearch MemorySearch::find(const MemoryMap::Stretch& stretch, MemoryUse wanted) {
  if (stretch.region->kind != RegionKind::ram || std::chrono::steady_clock::now() >= end_) {
    return all_held(stretch.range.size(), wanted);
  }
  const UseSearch result = memory_.find(stretch.range, wanted);
  const bool advances = result.found || result.before > 0;
  return advances ? result : all_held(stretch.range.size(), wanted);
}

std::optional<Gpa> MemorySearch::find_first(const GpaRange& range, MemoryUse wanted) {
  for (Gpa here = range.begin; here < range.end;) {
    MemoryMap::Stretch stretch = map_->at(here);
    stretch.range.end = std::min(stretch.range.end, range.end);
    const UseSearch result =
        stretch.region != nullptr ? find(stretch, wanted) : all_held(stretch.range.size(), wanted);
    here = std::min(here + result.before, stretch.range.end);
    if (result.found && here < range.end) {
      return here;
    }
  }
  return std::nullopt;
}

tl::expected<std::uint64_t, ErrorKind> seek_data(AddressSpace& memory, std::uint64_t offset) {
  MemorySearch seek{memory};
  Gpa here{offset};
  while (here < seek.map().ram_end()) {
    const auto stretch = seek.map().at(here);
    if (stretch.region == nullptr) {
      here = stretch.range.end;
      continue;
    }
    const UseSearch held = seek.find(stretch, MemoryUse::held);
    here = std::min(here + held.before, stretch.range.end);
    if (held.found) {
      return here.value();
    }
  }
  return tl::unexpected{ErrorKind::past_end};
}

tl::expected<std::uint64_t, ErrorKind> seek_hole(AddressSpace& memory, std::uint64_t offset) {
  MemorySearch seek{memory};
  const Gpa end = seek.map().ram_end();
  if (Gpa{offset} >= end) {
    return tl::unexpected{ErrorKind::past_end};
  }
  Gpa here{offset};
  while (here < end) {
    const auto stretch = seek.map().at(here);
    if (stretch.region == nullptr) {
      break;
    }
    const UseSearch sparse = seek.find(stretch, MemoryUse::sparse);
    here = std::min(here + sparse.before, stretch.range.end);
    if (sparse.found) {
      break;
    }
  }
  return std::min(here, end).value();
}

} // namespace vmemfs
