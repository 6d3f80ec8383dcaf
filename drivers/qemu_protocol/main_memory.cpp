// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/main_memory.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

/// A machine whose memory has another name has it at address 0.
bool is_main(const MtreeRange& range, std::string_view name_at_zero) {
  static constexpr std::array<std::string_view, 3> kBegins{"ram-node", "memdimm", "mach-virt.ram"};
  return range.type == MtreeType::nv_ram || range.name == name_at_zero || range.name == "pc.ram" ||
         std::ranges::any_of(kBegins, [&](std::string_view begin) { return range.name.starts_with(begin); });
}

bool is_rom(const MtreeRange& range) { return range.type == MtreeType::rom || range.type == MtreeType::romd; }

} // namespace

Result<MemoryMap> main_memory_of(std::span<const MtreeRange> ranges) {
  const auto at_zero =
      std::ranges::find(ranges, Gpa{0}, [](const MtreeRange& range) { return range.range.begin; });
  const std::string_view name_at_zero = at_zero != ranges.end() ? std::string_view{at_zero->name} : "";
  std::vector<Region> regions;
  std::vector<std::string> blocks;
  std::map<std::string_view, std::uint32_t> indices;
  for (const MtreeRange& range : ranges) {
    const bool memory = range.type == MtreeType::ram || range.type == MtreeType::nv_ram;
    if (!is_rom(range) && !(memory && is_main(range, name_at_zero))) {
      continue;
    }
    const auto [entry, added] = indices.emplace(range.name, static_cast<std::uint32_t>(blocks.size()));
    if (added) {
      blocks.push_back(range.name);
    }
    regions.push_back({range.range, is_rom(range) ? RegionKind::rom : RegionKind::ram, !is_rom(range),
                       entry->second, range.offset});
  }
  return MemoryMap::build(std::move(regions), std::move(blocks));
}

} // namespace vmemfs
