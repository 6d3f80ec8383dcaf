// SPDX-License-Identifier: MIT
#include "vm/views/block_layout.h"

#include "vm/vm_name.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <map>
#include <set>

namespace vmemfs {
namespace {

class FreeNames {
public:
  /// `base`, or the first of base-1, base-2 and so on that was not taken before.
  std::string take(const std::string& base) {
    unsigned& tries = tries_[base];
    for (;; ++tries) {
      std::string name = vm_name_candidate(base, fmt::format("{}", tries), std::min(tries, 1U));
      if (taken_.insert(name).second) {
        return name;
      }
    }
  }

private:
  std::set<std::string> taken_;
  std::map<std::string, unsigned> tries_;
};

} // namespace

std::vector<std::string> block_names(const MemoryMap& map) {
  std::vector<std::string> names(map.blocks().size());
  FreeNames free;
  std::size_t named = 0;
  for (const Region& region : map.regions()) {
    if (names[region.block].empty() && named < kMaxNamedBlocks) {
      const std::string base = safe_vm_name(map.blocks()[region.block]);
      names[region.block] = free.take(base.empty() ? "block" : base);
      ++named;
    }
  }
  return names;
}

std::optional<BlockLayout> block_layout(const MemoryMap& map, std::string_view name) {
  const auto names = block_names(map);
  const auto found = name.empty() ? names.end() : std::ranges::find(names, name);
  if (found == names.end()) {
    return std::nullopt;
  }
  const auto block = static_cast<std::uint32_t>(found - names.begin());
  std::vector<Region> regions;
  std::ranges::copy_if(map.regions(), std::back_inserter(regions),
                       [block](const Region& region) { return region.block == block; });
  // What the guest has at several addresses is read, and written, at one where it can be written.
  std::ranges::stable_sort(regions, [](const Region& a, const Region& b) {
    return a.block_offset != b.block_offset ? a.block_offset < b.block_offset : a.writable && !b.writable;
  });
  BlockLayout layout{{}, regions.front()};
  std::uint64_t done = 0;
  for (const Region& region : regions) {
    const std::uint64_t begin = std::max(region.block_offset, done);
    const std::uint64_t end = region.block_offset + region.range.size();
    if (begin < end) {
      layout.parts.push_back({begin, end, region.range.begin + (begin - region.block_offset)});
      done = end;
    }
  }
  return layout;
}

} // namespace vmemfs
