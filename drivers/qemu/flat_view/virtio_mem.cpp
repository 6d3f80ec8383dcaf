// SPDX-License-Identifier: MIT
#include "drivers/qemu/flat_view/virtio_mem.h"

#include "drivers/qemu/flat_view/flat_view_layout.h"
#include "host/process_memory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <span>

namespace vmemfs::qemu {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);
/// Larger than struct VirtIOMEM up to its bitmap and sizes, in every version.
constexpr std::size_t kSearched = 2048;
/// The bitmap and its size lie at most this far before the address: pointers and a few numbers are between.
constexpr std::size_t kBitmapBefore = 12 * kWord;

/// The fields after the address, in this order since QEMU 5.1: usable region size, size, requested size,
/// block size.
struct Sizes {
  std::uint64_t usable;
  std::uint64_t plugged;
  std::uint64_t requested;
  std::uint64_t block;
};

bool plausible(const Sizes& sizes, std::uint64_t region_bytes) {
  return std::has_single_bit(sizes.block) && sizes.block >= kPageSize && sizes.usable <= region_bytes &&
         sizes.plugged <= sizes.usable && sizes.requested <= region_bytes &&
         sizes.plugged % sizes.block == 0 && region_bytes % sizes.block == 0;
}

std::uint64_t count_plugged(std::span<const std::uint64_t> words, std::uint64_t blocks) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint64_t left = blocks - i * 64;
    const std::uint64_t mask = left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
    count += static_cast<std::uint64_t>(std::popcount(words[i] & mask));
  }
  return count;
}

/// Whether `map`'s bits are as many as `sizes` says.
bool fits(const ProcessSpace& space, const PlugMap& map, const Sizes& sizes, std::size_t& budget_bytes) {
  const std::size_t cost = std::max<std::size_t>(map.words() * kWord, kPageSize);
  if (cost > budget_bytes) {
    budget_bytes = 0;
    return false;
  }
  budget_bytes -= cost;
  std::vector<std::uint64_t> plugged(map.words());
  return read_process_memory(space, map.bitmap, std::as_writable_bytes(std::span{plugged})).has_value() &&
         count_plugged(plugged, map.blocks) == sizes.plugged / sizes.block;
}

/// The map for an address at `at` in the device: an int32_t and the pointer to the bits somewhere before it.
std::optional<PlugMap> map_before(const ProcessSpace& space, std::span<const std::byte> device,
                                  std::size_t at, const GpaRange& range, std::size_t& budget_bytes) {
  const auto sizes = field<Sizes>(device, at + kWord);
  if (!plausible(sizes, range.size())) {
    return std::nullopt;
  }
  PlugMap map{range, 0, range.size() / sizes.block, sizes.block};
  for (std::size_t before = 2 * kWord; before <= kBitmapBefore && budget_bytes > 0; before += kWord) {
    map.bitmap = field<Hva>(device, at - before + kWord);
    const bool possible = field<std::uint32_t>(device, at - before) == map.blocks &&
                          map.bitmap >= kPageSize && map.bitmap % kWord == 0 &&
                          map.words() * kWord <= kMaxPlugMapBytes;
    if (possible && fits(space, map, sizes, budget_bytes)) {
      return map;
    }
  }
  return std::nullopt;
}

} // namespace

bool is_virtio_mem(const ProcessSpace& space, Hva hva) { return read_qemu_type(space, hva) == "virtio-mem"; }

std::optional<PlugMap> find_plug_map(const ProcessSpace& space, const VirtioMemRegion& region,
                                     std::size_t& budget_bytes) {
  std::array<std::byte, kSearched> bytes{};
  const auto read = read_process_memory_prefix(space, region.device, bytes);
  if (!read) {
    return std::nullopt;
  }
  const auto device = std::span{bytes}.first(*read / kWord * kWord);
  for (std::size_t at = kBitmapBefore; at + kWord + sizeof(Sizes) <= device.size() && budget_bytes > 0;
       at += kWord) {
    if (field<std::uint64_t>(device, at) == region.range.begin.value()) {
      if (auto map = map_before(space, device, at, region.range, budget_bytes)) {
        return map;
      }
    }
  }
  return std::nullopt;
}

bool add_unplugged(const PlugMap& map, std::span<const std::uint64_t> plugged, std::vector<GpaRange>& holes) {
  const std::size_t before = holes.size();
  bool continues = false;
  for (std::uint64_t block = 0; block < map.blocks; ++block) {
    const bool is_plugged = (plugged[block / 64] >> (block % 64) & 1U) != 0;
    const Gpa begin = map.range.begin + block * map.block_bytes;
    if (!is_plugged && continues) {
      holes.back().end = begin + map.block_bytes;
    } else if (!is_plugged) {
      if (holes.size() == kMaxUnplugged) {
        holes.resize(before);
        return false;
      }
      holes.push_back({begin, begin + map.block_bytes});
    }
    continues = !is_plugged;
  }
  return true;
}

} // namespace vmemfs::qemu
