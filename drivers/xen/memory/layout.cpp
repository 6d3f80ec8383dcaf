// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/layout.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::xen {
namespace {

constexpr std::uint64_t k4Gib = 0x100000; ///< frames
/// Below 4 GiB, what the toolstack places beside main memory begins here: for HVM the device model's windows,
/// including video memory; for PVH the ACPI tables.
constexpr std::uint64_t kHvmDevices = 0xf0000;
constexpr std::uint64_t kFirmwareTables = 0xfc000;
/// Xen's own pages are adjacent: a few on each side of those that have a parameter.
constexpr std::uint64_t kSpecialAround = 16;

/// Index in MemoryMap::blocks(), which has the region's kind as text.
enum Block : std::uint32_t { guest_block, device_block, firmware_block, special_block };
const std::vector<std::string>& block_names() {
  static const std::vector<std::string> kNames{"xen.guest", "xen.device", "xen.firmware", "xen.special"};
  return kNames;
}

Region region_of(GfnRange range, Block block) {
  constexpr RegionKind kKinds[] = {RegionKind::ram, RegionKind::device, RegionKind::rom, RegionKind::special};
  const Gpa begin = Gfn{range.begin}.gpa();
  return {{begin, Gfn{range.end}.gpa()},
          kKinds[block],
          block == guest_block || block == device_block,
          block,
          begin.value()};
}

/// The range around the special pages in which all pages are special.
GfnRange special_window(const std::vector<std::uint64_t>& special) {
  std::vector<std::uint64_t> high;
  std::ranges::copy_if(special, std::back_inserter(high),
                       [](std::uint64_t gfn) { return gfn >= kFirmwareTables && gfn < k4Gib; });
  if (high.empty()) {
    return {k4Gib, k4Gib};
  }
  const auto [lowest, highest] = std::ranges::minmax(high);
  return {std::max(lowest - kSpecialAround, kFirmwareTables), std::min(highest + kSpecialAround, k4Gib)};
}

/// The part of `range` below `cut` goes to `block`, the rest stays.
void take_below(GfnRange& range, std::uint64_t cut, Block block, std::vector<Region>& regions) {
  const GfnRange part{range.begin, std::min(range.end, cut)};
  if (part.begin < part.end) {
    regions.push_back(region_of(part, block));
    range.begin = part.end;
  }
}

Result<Layout> to_layout(std::vector<Region> regions) {
  auto map = MemoryMap::build(std::move(regions), block_names());
  if (!map) {
    return tl::unexpected{map.error()};
  }
  Layout layout;
  layout.map = std::move(*map);
  return layout;
}

} // namespace

std::uint64_t count_of(const GfnRanges& ranges) {
  std::uint64_t count = 0;
  for (const GfnRange& range : ranges) {
    count += range.size();
  }
  return count;
}

void append(GfnRanges& ranges, std::uint64_t gfn) {
  if (!ranges.empty() && ranges.back().end == gfn) {
    ++ranges.back().end;
  } else {
    ranges.push_back({gfn, gfn + 1});
  }
}

Result<Layout> pv_layout(std::vector<Frame> machine_frames) {
  GfnRanges present;
  for (std::size_t gfn = 0; gfn < machine_frames.size(); ++gfn) {
    if (machine_frames[gfn] != Layout::kNoFrame) {
      append(present, gfn);
    }
  }
  std::vector<Region> regions;
  std::ranges::transform(present, std::back_inserter(regions),
                         [](const GfnRange& range) { return region_of(range, guest_block); });
  auto layout = to_layout(std::move(regions));
  if (layout) {
    layout->machine_frames = std::move(machine_frames);
  }
  return layout;
}

Result<Layout> hvm_layout(const GfnRanges& present, DomainKind kind,
                          const std::vector<std::uint64_t>& special) {
  const GfnRange window = special_window(special);
  std::vector<Region> regions;
  for (GfnRange range : present) {
    take_below(range, kind == DomainKind::hvm ? kHvmDevices : kFirmwareTables, guest_block, regions);
    take_below(range, kFirmwareTables, device_block, regions);
    take_below(range, window.begin, firmware_block, regions);
    take_below(range, window.end, special_block, regions);
    take_below(range, k4Gib, firmware_block, regions);
    take_below(range, range.end, guest_block, regions);
  }
  return to_layout(std::move(regions));
}

} // namespace vmemfs::xen
