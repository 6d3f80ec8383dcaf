// SPDX-License-Identifier: MIT
#include "drivers/qemu/flat_view/flat_view_resolver.h"

#include "host/process_memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace vmemfs::qemu {
namespace {

bool sorted_without_overlap(const std::vector<RawRange>& ranges) {
  std::uint64_t end = 0;
  bool at_top = false; // the last range ended at 2^64
  for (const RawRange& range : ranges) {
    const bool whole_space = range.size_high == 1 && range.size == 0 && range.start == 0;
    if (at_top || range.start_high != 0 || (range.size_high != 0 && !whole_space) || range.start < end) {
      return false;
    }
    end = range.start + range.size; // wraps to 0 at 2^64, and only there
    at_top = whole_space || (end == 0 && range.size != 0);
    if (!at_top && end < range.start) {
      return false;
    }
  }
  return true;
}

/// The fields of a MemoryRegion and its RAMBlock.
struct Memory {
  bool rom_device = false;
  bool ram_device = false;
  bool backend = false;
  Hva virtio_mem = 0; ///< its virtio-mem device; 0: it is of none
  std::string name;
  std::string block_id;
  Hva host = 0;
  std::uint64_t used_length = 0;
};

/// Resolves the ranges of one capture.
class Resolver {
public:
  Resolver(const ProcessSpace& space, const FlatViewLayout& layout) : space_{space}, layout_{layout} {}

  Result<ResolvedView> resolve(const std::vector<RawRange>& raw_ranges) {
    ResolvedView view;
    for (const RawRange& raw : raw_ranges) {
      const auto memory = memory_of(raw.region);
      if (!memory) {
        return tl::unexpected{memory.error()};
      }
      // Flash that is not in its readable mode takes commands: that is I/O.
      if (*memory == nullptr || raw.romd_mode == 0) {
        continue;
      }
      auto range = describe(raw, **memory);
      if (!range) {
        return tl::unexpected{range.error()};
      }
      note_virtio_mem(**memory, *range, view);
      view.ranges.push_back(std::move(*range));
    }
    return view;
  }

private:
  /// A device whose memory is not mapped from its beginning shows it in several ranges.
  static void note_virtio_mem(const Memory& memory, const FlatRangeInfo& range, ResolvedView& view) {
    if (memory.virtio_mem == 0 || std::ranges::find(view.virtio_mem, memory.virtio_mem,
                                                    &VirtioMemRegion::device) != view.virtio_mem.end()) {
      return;
    }
    const std::uint64_t begin = range.range.begin.value();
    if (view.virtio_mem.size() == kMaxVirtioMem || range.offset > begin ||
        memory.used_length > kGpaLimit - (begin - range.offset)) {
      view.virtio_mem_left_out = true;
      return;
    }
    const Gpa first{begin - range.offset};
    view.virtio_mem.push_back({memory.virtio_mem, {first, first + memory.used_length}});
  }

  static Result<FlatRangeInfo> describe(const RawRange& raw, const Memory& memory) {
    if (raw.size == 0 || raw.start >= kGpaLimit || raw.size > kGpaLimit - raw.start) {
      return implausible("a range is empty or too high");
    }
    if (raw.offset > memory.used_length || raw.size > memory.used_length - raw.offset) {
      return implausible("a range is larger than its memory block");
    }
    FlatRangeInfo info;
    info.range = {Gpa{raw.start}, Gpa{raw.start + raw.size}};
    info.rom = raw.readonly != 0 || memory.rom_device;
    info.device = memory.ram_device;
    info.writable = !info.rom && !info.device;
    info.nonvolatile = raw.nonvolatile != 0;
    info.backend = memory.backend;
    info.virtio_mem = memory.virtio_mem != 0;
    info.name = memory.name;
    info.block_id = memory.block_id;
    info.offset = raw.offset;
    info.hva = memory.host + raw.offset;
    return info;
  }

  /// Null for a region that is not memory.
  Result<const Memory*> memory_of(Hva region) {
    if (const auto known = known_.find(region); known != known_.end()) {
      return known->second ? &*known->second : nullptr;
    }
    auto memory = read_memory(region);
    if (!memory) {
      return tl::unexpected{memory.error()};
    }
    const auto& added = known_.emplace(region, std::move(*memory)).first->second;
    return added ? &*added : nullptr;
  }

  Result<std::optional<Memory>> read_memory(Hva at) {
    std::vector<std::byte> region(layout_.region_name + kRegionManagerAfterName + sizeof(Hva));
    const auto size = read_process_memory_prefix(space_, at, region);
    if (!size) {
      return tl::unexpected{size.error()};
    }
    if (*size < layout_.region_name + sizeof(Hva)) {
      return implausible("a region is not mapped");
    }
    const auto block = field<Hva>(region, kRegionBlock);
    if (block == 0) {
      return std::nullopt;
    }
    const auto flag = [&](std::size_t offset) { return field<std::uint8_t>(region, offset); };
    const auto rom_device = flag(kRegionRomDevice);
    const auto ram_device = flag(layout_.region_name - kRegionRamDeviceBeforeName);
    // A region of memory is either RAM or flash, and not a container.
    if (flag(kRegionRam) > 1 || rom_device > 1 || flag(kRegionRam) == rom_device || ram_device > 1 ||
        flag(layout_.region_name - kRegionTerminatesBeforeName) != 1) {
      return implausible("a region is neither RAM nor flash");
    }
    auto name = read_qemu_string(space_, field<Hva>(region, layout_.region_name));
    if (!name) {
      return implausible("a region has no name");
    }
    Memory memory;
    memory.rom_device = rom_device != 0;
    memory.ram_device = ram_device != 0;
    memory.backend = read_qemu_type(space_, field<Hva>(region, kRegionOwner)).starts_with("memory-backend-");
    const auto manager = field<Hva>(region, layout_.region_name + kRegionManagerAfterName);
    memory.virtio_mem = is_virtio_mem(space_, manager) ? manager : 0;
    memory.name = std::move(*name);
    return add_block(std::move(memory), block, at);
  }

  Result<std::optional<Memory>> add_block(Memory memory, Hva at, Hva region) {
    std::vector<std::byte> block(layout_.block_id + kBlockIdSize);
    if (auto read = read_process_memory(space_, at, block); !read) {
      return tl::unexpected{read.error()};
    }
    auto id = parse_qemu_string(std::span<const std::byte>{block}.subspan(layout_.block_id));
    memory.host = field<Hva>(block, kBlockHost);
    memory.used_length = field<std::uint64_t>(block, kBlockUsedLength);
    const bool host_ok = memory.host != 0 && memory.host % kPageSize == 0 &&
                         memory.used_length <= std::numeric_limits<Hva>::max() - memory.host;
    if (!id || !host_ok || field<Hva>(block, kBlockRegion) != region) {
      return implausible("a memory block does not belong to its region");
    }
    memory.block_id = std::move(*id);
    return memory;
  }

  const ProcessSpace& space_;
  const FlatViewLayout& layout_;
  std::map<Hva, std::optional<Memory>> known_;
};

} // namespace

Result<ResolvedView> resolve_ranges(const ProcessSpace& space, const FlatViewLayout& layout,
                                    const std::vector<RawRange>& raw_ranges) {
  if (!sorted_without_overlap(raw_ranges)) {
    return implausible("ranges overlap");
  }
  return Resolver{space, layout}.resolve(raw_ranges);
}

} // namespace vmemfs::qemu
