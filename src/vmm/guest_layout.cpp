// SPDX-License-Identifier: MIT
#include "vmm/guest_layout.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace vmemfs {
namespace {

bool continues(const LayoutRange& before, const LayoutRange& after) {
  return before.range.end == after.range.begin && before.kind == after.kind &&
         before.writable == after.writable && before.block_base() == after.block_base() &&
         before.hva + before.range.size() == after.hva;
}

} // namespace

void normalize(GuestLayout& layout) {
  std::vector<LayoutRange>& ranges = layout.ranges;
  std::ranges::sort(ranges, {}, [](const LayoutRange& range) { return range.range.begin; });
  std::vector<LayoutRange> joined;
  for (LayoutRange& range : ranges) {
    if (!joined.empty() && continues(joined.back(), range)) {
      joined.back().range.end = range.range.end;
    } else {
      joined.push_back(std::move(range));
    }
  }
  ranges = std::move(joined);
}

bool same_memory(const GuestLayout& a, const GuestLayout& b) {
  return std::ranges::equal(a.ranges, b.ranges, [](const LayoutRange& x, const LayoutRange& y) {
    return x.range == y.range && x.hva == y.hva && x.kind == y.kind && x.writable == y.writable;
  });
}

Result<MemoryMap> to_memory_map(const GuestLayout& layout) {
  std::vector<Region> regions;
  std::vector<std::string> blocks;
  std::map<Hva, std::uint32_t> block_indices;
  for (const LayoutRange& range : layout.ranges) {
    const auto [entry, added] =
        block_indices.emplace(range.block_base(), static_cast<std::uint32_t>(blocks.size()));
    if (added) {
      blocks.push_back(range.name);
    }
    regions.push_back({range.range, range.kind, range.writable, entry->second, range.offset});
  }
  return MemoryMap::build(std::move(regions), std::move(blocks));
}

std::vector<HvaRange> block_extents(const GuestLayout& layout) {
  std::map<Hva, HvaRange> extents;
  for (const LayoutRange& range : layout.ranges) {
    const HvaRange here{range.hva, range.hva + range.range.size()};
    const auto [entry, added] = extents.emplace(range.block_base(), here);
    if (!added) {
      entry->second.begin = std::min(entry->second.begin, here.begin);
      entry->second.end = std::max(entry->second.end, here.end);
    }
  }
  std::vector<HvaRange> list;
  std::ranges::transform(extents, std::back_inserter(list), [](const auto& entry) { return entry.second; });
  return list;
}

} // namespace vmemfs
