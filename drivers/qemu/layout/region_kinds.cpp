// SPDX-License-Identifier: MIT
#include "drivers/qemu/layout/region_kinds.h"

#include "core/text.h"

#include <algorithm>
#include <cstdint>
#include <fmt/format.h>
#include <map>
#include <string>
#include <utility>

namespace vmemfs::qemu {
namespace {

/// Smaller blocks of plain RAM without a memory backend are a device's scratch memory.
constexpr std::uint64_t kSmallestMainMemory = std::uint64_t{1} << 20U;

/// What is known of a block from those of its ranges that are behind no BAR.
struct Block {
  std::uint64_t shown_bytes = 0;
  bool backend = false;
  bool main = false;
};

using Blocks = std::map<Hva, Block>;

/// A guest can move a BAR over its RAM, so ranges behind one say nothing about the rest of their block.
Blocks blocks_of(const std::vector<FoundRange>& found) {
  Blocks blocks;
  for (const FoundRange& item : found) {
    Block& block = blocks[item.range.block_base()];
    const bool at_zero = item.range.range.begin == Gpa{0};
    if (!item.behind_bar || (item.backend && at_zero)) {
      block.shown_bytes += item.range.range.size();
      block.backend = block.backend || item.backend;
      block.main = block.main || item.nonvolatile || at_zero;
    }
  }
  const bool any_backend =
      std::ranges::any_of(blocks, [](const auto& entry) { return entry.second.backend; });
  for (auto& [base, block] : blocks) {
    const bool chosen = any_backend ? block.backend : block.shown_bytes >= kSmallestMainMemory;
    block.main = block.main || chosen;
  }
  return blocks;
}

/// Machines whose RAM is all small and not at 0, as that of a microcontroller, have main memory too.
void ensure_main_memory(GuestLayout& layout) {
  if (std::ranges::find(layout.ranges, RegionKind::ram, &LayoutRange::kind) != layout.ranges.end()) {
    return;
  }
  for (LayoutRange& range : layout.ranges) {
    if (range.kind == RegionKind::device && range.writable) {
      range.kind = RegionKind::ram;
    }
  }
}

std::string describe(const LayoutRange& range) {
  return fmt::format("{:#x}-{:#x} {} {}", range.range.begin.value(), range.range.end.value(),
                     to_string(range.kind), printable(range.name, 40));
}

/// The part [begin, end) of `range`.
LayoutRange part_of(const LayoutRange& range, Gpa begin, Gpa end) {
  LayoutRange part = range;
  const std::uint64_t skipped = begin - range.range.begin;
  part.range = {begin, end};
  part.offset += skipped;
  part.hva += skipped;
  return part;
}

} // namespace

GuestLayout with_kinds(std::vector<FoundRange> found) {
  const Blocks blocks = blocks_of(found);
  GuestLayout layout;
  for (FoundRange& item : found) {
    const bool main = blocks.at(item.range.block_base()).main;
    item.range.kind = item.rom ? RegionKind::rom : main ? RegionKind::ram : RegionKind::device;
    layout.ranges.push_back(std::move(item.range));
  }
  ensure_main_memory(layout);
  normalize(layout);
  return layout;
}

std::string describe_difference(const GuestLayout& by_monitor, const GuestLayout& by_view) {
  const auto equal = [](const LayoutRange& a, const LayoutRange& b) {
    return same_memory({{a}, std::nullopt}, {{b}, std::nullopt});
  };
  const auto [monitor, view] = std::ranges::mismatch(by_monitor.ranges, by_view.ranges, equal);
  if (monitor == by_monitor.ranges.end() && view == by_view.ranges.end()) {
    return {};
  }
  return fmt::format("the monitor has {}, the flat view {}",
                     monitor != by_monitor.ranges.end() ? describe(*monitor) : "nothing more",
                     view != by_view.ranges.end() ? describe(*view) : "nothing more");
}

void cut_out(GuestLayout& layout, std::span<const GpaRange> holes) {
  std::vector<LayoutRange> left;
  for (const LayoutRange& range : layout.ranges) {
    Gpa at = range.range.begin;
    auto hole = std::ranges::upper_bound(holes, at, {}, &GpaRange::end);
    for (; hole != holes.end() && hole->begin < range.range.end; ++hole) {
      if (at < hole->begin) {
        left.push_back(part_of(range, at, hole->begin));
      }
      at = std::max(at, hole->end);
    }
    if (at < range.range.end) {
      left.push_back(part_of(range, at, range.range.end));
    }
  }
  layout.ranges = std::move(left);
}

} // namespace vmemfs::qemu
