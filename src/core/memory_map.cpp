// SPDX-License-Identifier: MIT
#include "core/memory_map.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace vmemfs {

std::string_view to_string(RegionKind kind) {
  switch (kind) {
  case RegionKind::ram: return "ram";
  case RegionKind::rom: return "rom";
  case RegionKind::device: return "device";
  case RegionKind::special: return "special";
  }
  return "unknown";
}

Result<MemoryMap> MemoryMap::build(std::vector<Region> regions, std::vector<std::string> blocks) {
  const auto refuse = [](const GpaRange& range, std::string_view why) {
    return fail(ErrorKind::source_failed, "memory map",
                fmt::format("range {:#x}-{:#x} {}", range.begin.value(), range.end.value(), why));
  };

  std::ranges::sort(regions, {}, [](const Region& region) { return region.range.begin; });
  Gpa previous_end;
  for (const Region& region : regions) {
    if (region.range.empty()) {
      return refuse(region.range, "is empty");
    }
    if (region.range.end.value() >= kGpaLimit) {
      return refuse(region.range, "lies above the highest file offset");
    }
    if (region.range.begin < previous_end) {
      return refuse(region.range, "overlaps the range before it");
    }
    if (region.block >= blocks.size()) {
      return refuse(region.range, "names a block that does not exist");
    }
    previous_end = region.range.end;
  }

  MemoryMap map;
  map.regions_ = std::move(regions);
  map.blocks_ = std::move(blocks);
  for (const Region& region : map.regions_) {
    if (region.kind == RegionKind::ram) {
      map.ram_end_ = region.range.end;
      map.ram_bytes_ += region.range.size();
    }
  }
  for (const Region& region : map.regions_) {
    if (region.range.begin < map.ram_end_) {
      map.data_bytes_ += std::min(region.range.end, map.ram_end_) - region.range.begin;
    }
  }
  return map;
}

MemoryMap::Stretch MemoryMap::at(Gpa gpa) const {
  const auto next =
      std::ranges::upper_bound(regions_, gpa, {}, [](const Region& region) { return region.range.begin; });
  if (next != regions_.begin()) {
    const Region& before = *std::prev(next);
    if (gpa < before.range.end) {
      return {&before, {gpa, before.range.end}};
    }
  }
  return {nullptr, {gpa, next == regions_.end() ? Gpa{kGpaLimit} : next->range.begin}};
}

} // namespace vmemfs
