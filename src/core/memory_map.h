// SPDX-License-Identifier: MIT
// Guest physical memory map: which addresses hold memory, of what kind, and where it comes from.
//
// Immutable once built, so any number of threads may use one. Holes are data: at() answers for every
// address, with a region or with the hole it lies in.
#pragma once

#include "core/error.h"
#include "core/gpa.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

enum class RegionKind : unsigned char {
  ram,     ///< main memory: what the guest was given, DIMMs and NUMA nodes included
  rom,     ///< firmware, flash, shadowed option ROMs
  device,  ///< memory behind a PCI BAR: video RAM, ivshmem
  special, ///< the hypervisor's own pages (Xen)
};

/// "ram", "rom", "device" or "special", as in `maps`.
[[nodiscard]] std::string_view to_string(RegionKind kind);

/// A contiguous range of guest physical addresses backed by one stretch of one block.
struct Region {
  GpaRange range;
  RegionKind kind = RegionKind::ram;
  bool writable = false;
  std::uint32_t block = 0;        ///< index into MemoryMap::blocks()
  std::uint64_t block_offset = 0; ///< where range.begin lies in the block, in bytes

  friend bool operator==(const Region&, const Region&) = default;
};

class MemoryMap {
public:
  /// An empty map: everything is a hole.
  MemoryMap() = default;

  /// Sorts `regions`. Refuses empty, overlapping or too high ranges and block indices out of range.
  /// `blocks` are the names of the pieces of backing memory.
  static Result<MemoryMap> build(std::vector<Region> regions, std::vector<std::string> blocks);

  /// What is found at an address: a region or (region == nullptr) a hole, from the address to the
  /// end of that region or hole. A hole above the last region ends at kGpaLimit.
  struct Stretch {
    const Region* region;
    GpaRange range;
  };
  [[nodiscard]] Stretch at(Gpa gpa) const;

  [[nodiscard]] std::span<const Region> regions() const { return regions_; } ///< sorted by address
  [[nodiscard]] std::span<const std::string> blocks() const { return blocks_; }

  /// End of the highest range of main memory; the size of `mem` in bytes.
  [[nodiscard]] Gpa ram_end() const { return ram_end_; }

  /// Bytes of main memory in the map.
  [[nodiscard]] std::uint64_t ram_bytes() const { return ram_bytes_; }

  /// Bytes of any kind that lie below ram_end(); what `mem` has that is not a hole.
  [[nodiscard]] std::uint64_t data_bytes() const { return data_bytes_; }

  friend bool operator==(const MemoryMap&, const MemoryMap&) = default;

private:
  std::vector<Region> regions_;
  std::vector<std::string> blocks_;
  Gpa ram_end_;
  std::uint64_t ram_bytes_ = 0;
  std::uint64_t data_bytes_ = 0;
};

} // namespace vmemfs
