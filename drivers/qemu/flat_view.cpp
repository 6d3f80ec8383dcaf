#include "drivers/qemu/flat_view.h"

#include "util/proc_maps.h"
#include "util/process_memory.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <thread>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "flatview";
constexpr std::size_t kMaxRanges = 4096;
constexpr int kTries = 8;
constexpr std::chrono::microseconds kBetweenTries{200};

/// struct FlatView
struct RawView {
  std::array<std::uint64_t, 3> ignored; ///< rcu head, reference count
  Hva ranges;
  std::uint32_t count;
  std::uint32_t capacity;
  Hva dispatch;
  Hva root;
};
static_assert(sizeof(RawView) == 56);

/// struct FlatRange; the 128-bit numbers as low and high halves
struct RawRange {
  Hva region;
  std::uint64_t offset; ///< in the region
  std::uint64_t start;
  std::uint64_t start_high;
  std::uint64_t size;
  std::uint64_t size_high;
  std::uint8_t dirty_log_mask;
  std::uint8_t romd_mode;
  std::uint8_t readonly;
  std::array<std::uint8_t, 13> ignored;
};
static_assert(sizeof(RawRange) == 64);

/// All that the view is made of, except what the regions and blocks say, which lasts as long as they.
struct Capture {
  std::vector<RawRange> ranges;
  std::array<std::byte, kMaxBlockList> block_list{};
};

tl::unexpected<Error> implausible(std::string_view what) {
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("QEMU's memory view doesn't check out: {}", what));
}

/// Reads the view in three steps, each where the one before points to. It may be freed meanwhile; the
/// caller tries again.
Result<Capture> capture(const Process& process, const FlatViewLayout& layout) {
  Capture captured;
  struct {
    Hva root;
    Hva view;
  } current{};
  const std::array first{
      ProcessPiece{layout.address_space + kAddressSpaceRoot, std::as_writable_bytes(std::span{&current, 1})},
      ProcessPiece{layout.block_list, std::span{captured.block_list}.first(layout.block_list_size)}};
  if (auto read = read_process_memory(process.pid(), first); !read) {
    return tl::unexpected{read.error()};
  }
  const auto view = read_process_value<RawView>(process.pid(), current.view);
  if (!view) {
    return tl::unexpected{view.error()};
  }
  if (view->root != current.root || view->count > kMaxRanges || view->count > view->capacity) {
    return implausible("bad header");
  }
  captured.ranges.resize(view->count);
  if (view->count != 0) {
    if (auto read = read_process_memory(process.pid(), view->ranges,
                                        std::as_writable_bytes(std::span{captured.ranges}));
        !read) {
      return tl::unexpected{read.error()};
    }
  }
  return captured;
}

class Hash {
public:
  void add(std::uint64_t word) {
    value_ = (value_ ^ word) * 0x9e3779b97f4a7c15U;
    value_ ^= value_ >> 32;
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

private:
  std::uint64_t value_ = 0x243f6a8885a308d3U;
};

/// Of what matters: not of addresses of the view itself, as QEMU often makes an equal view anew.
/// That a region's address is used again for other memory shows in the block list, which counts.
std::uint64_t stamp_of(const Capture& captured, std::size_t block_list_size) {
  Hash hash;
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= block_list_size; at += sizeof(std::uint64_t)) {
    hash.add(field<std::uint64_t>(captured.block_list, at));
  }
  for (const RawRange& range : captured.ranges) {
    hash.add(range.region);
    hash.add(range.offset);
    hash.add(range.start);
    hash.add(range.size);
    hash.add((range.start_high << 32) ^ range.size_high);
    hash.add(std::uint64_t{range.romd_mode} << 8 | range.readonly);
  }
  return hash.value();
}

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

/// What a MemoryRegion and its RAMBlock say.
struct Memory {
  bool rom_device = false;
  bool ram_device = false;
  std::string name;
  std::string block_id;
  Hva host = 0;
  std::uint64_t used_length = 0;
};

/// Looks up what the ranges of one capture are made of.
class Resolver {
public:
  Resolver(const Process& process, const FlatViewLayout& layout) : process_{process}, layout_{layout} {}

  Result<std::vector<FlatRangeInfo>> resolve(const std::vector<RawRange>& raw_ranges) {
    if (!sorted_without_overlap(raw_ranges)) {
      return implausible("ranges overlap");
    }
    std::vector<FlatRangeInfo> ranges;
    for (const RawRange& raw : raw_ranges) {
      const auto memory = memory_of(raw.region);
      if (!memory) {
        return tl::unexpected{memory.error()};
      }
      // Flash takes commands while it is not in its readable mode: that is I/O.
      if (*memory == nullptr || raw.romd_mode == 0) {
        continue;
      }
      auto range = describe(raw, **memory);
      if (!range) {
        return tl::unexpected{range.error()};
      }
      ranges.push_back(std::move(*range));
    }
    return ranges;
  }

private:
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
    std::vector<std::byte> region(layout_.region_name + sizeof(Hva));
    if (auto read = read_process_memory(process_.pid(), at, region); !read) {
      return tl::unexpected{read.error()};
    }
    const auto block = field<Hva>(region, kRegionBlock);
    if (block == 0) {
      return std::nullopt;
    }
    const auto flag = [&](std::size_t offset) { return field<std::uint8_t>(region, offset); };
    const auto rom_device = flag(kRegionRomDevice);
    const auto ram_device = flag(layout_.region_name - kRegionRamDeviceBeforeName);
    // Memory is either RAM or flash, and no container.
    if (flag(kRegionRam) > 1 || rom_device > 1 || flag(kRegionRam) == rom_device || ram_device > 1 ||
        flag(layout_.region_name - kRegionTerminatesBeforeName) != 1) {
      return implausible("a region is neither RAM nor flash");
    }
    auto name = read_qemu_string(process_, field<Hva>(region, layout_.region_name));
    if (!name) {
      return implausible("a region has no name");
    }
    Memory memory;
    memory.rom_device = rom_device != 0;
    memory.ram_device = ram_device != 0;
    memory.name = std::move(*name);
    return add_block(std::move(memory), block, at);
  }

  Result<std::optional<Memory>> add_block(Memory memory, Hva at, Hva region) {
    std::vector<std::byte> block(layout_.block_id + kBlockIdSize);
    if (auto read = read_process_memory(process_.pid(), at, block); !read) {
      return tl::unexpected{read.error()};
    }
    auto id = parse_qemu_string(std::span<const std::byte>{block}.subspan(layout_.block_id));
    memory.host = field<Hva>(block, kBlockHost);
    memory.used_length = field<std::uint64_t>(block, kBlockUsedLength);
    const bool host_ok = memory.host != 0 && memory.host % kPageSize == 0 &&
                         memory.used_length <= std::numeric_limits<Hva>::max() - memory.host;
    if (!id || !host_ok || field<Hva>(block, kBlockRegion) != region) {
      return implausible("a memory block doesn't belong to its region");
    }
    memory.block_id = std::move(*id);
    return memory;
  }

  const Process& process_;
  const FlatViewLayout& layout_;
  std::map<Hva, std::optional<Memory>> known_;
};

Result<FlatView> read_once(const Process& process, const FlatViewLayout& layout) {
  const auto before = capture(process, layout);
  if (!before) {
    return tl::unexpected{before.error()};
  }
  auto ranges = Resolver{process, layout}.resolve(before->ranges);
  if (!ranges) {
    return tl::unexpected{ranges.error()};
  }
  // Regions and blocks are only freed after they have left the view, so an equal view means that
  // they were still there when they were looked up.
  const auto after = capture(process, layout);
  if (!after) {
    return tl::unexpected{after.error()};
  }
  const std::uint64_t stamp = stamp_of(*before, layout.block_list_size);
  if (stamp_of(*after, layout.block_list_size) != stamp) {
    return fail(ErrorKind::busy, kOrigin, "QEMU's memory view changes all the time just now");
  }
  return FlatView{std::move(*ranges), stamp};
}

tl::unexpected<Error> gone(const Process& process) {
  return fail(ErrorKind::vm_gone, kOrigin, fmt::format("process {} has ended", process.pid()));
}

/// Runs `attempt` until it succeeds: what it reads may be replaced under it. Gives up at once where
/// waiting can't help.
template <typename Attempt> auto retry(const Process& process, Attempt attempt) -> decltype(attempt()) {
  auto result = attempt();
  for (int tries = 1; !result && tries < kTries; ++tries) {
    if (!process.alive()) {
      return gone(process);
    }
    if (result.error().kind == ErrorKind::permission) {
      break;
    }
    std::this_thread::sleep_for(kBetweenTries);
    result = attempt();
  }
  // Else it may have been another process with the same number that was read.
  if (result && !process.alive()) {
    return gone(process);
  }
  return result;
}

/// That what QEMU says are host addresses is mapped: the last proof that all was understood.
Result<void> check_mapped(const Process& process, const FlatView& view) {
  const auto maps = read_maps(process.pid());
  if (!maps) {
    return tl::unexpected{maps.error()};
  }
  for (const FlatRangeInfo& range : view.ranges) {
    const Hva end = range.hva + range.range.size();
    for (Hva at = range.hva; at < end;) {
      const Vma* const vma = find_vma(*maps, at);
      if (vma == nullptr) {
        return implausible("guest memory is not mapped where the view has it");
      }
      at = vma->range.end;
    }
  }
  return {};
}

} // namespace

Result<FlatViewReader> FlatViewReader::open(std::shared_ptr<const Process> process) {
  auto layout = locate_flat_view(*process);
  if (!layout) {
    return tl::unexpected{layout.error()};
  }
  FlatViewReader reader{std::move(process), *layout};
  const auto checked = retry(*reader.process_, [&]() -> Result<void> {
    const auto view = reader.read();
    return view ? check_mapped(*reader.process_, *view) : tl::unexpected{view.error()};
  });
  if (!checked) {
    return tl::unexpected{checked.error()};
  }
  return reader;
}

Result<std::uint64_t> FlatViewReader::stamp() const {
  const auto captured = retry(*process_, [this] { return capture(*process_, layout_); });
  if (!captured) {
    return tl::unexpected{captured.error()};
  }
  return stamp_of(*captured, layout_.block_list_size);
}

Result<FlatView> FlatViewReader::read() const {
  return retry(*process_, [this] { return read_once(*process_, layout_); });
}

} // namespace vmemfs::qemu
