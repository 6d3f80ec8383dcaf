// SPDX-License-Identifier: MIT
// Search of a guest's memory for data and for holes: lseek's SEEK_DATA and SEEK_HOLE.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"
#include "core/memory_use.h"
#include "vm/memory/address_space.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

namespace vmemfs {

/// Enough for some 50 GiB of shared memory without a hole, and for hundreds of private memory.
inline constexpr std::chrono::milliseconds kMaxSeekTime{500};

/// The searches of one lseek: together they take kMaxSeekTime at most, and one search of the memory. What was
/// not searched by then is held.
class MemorySearch {
public:
  explicit MemorySearch(AddressSpace& memory) : memory_{memory} {}

  [[nodiscard]] const MemoryMap& map() const { return *map_; }

  /// As AddressSpace::find(), within one region. Firmware and device memory are never sparse.
  [[nodiscard]] UseSearch find(const MemoryMap::Stretch& stretch, MemoryUse wanted);

  /// The first address of a range that is of this use. A hole of the map is held, so that nobody takes what
  /// the guest has lost for zeros.
  [[nodiscard]] std::optional<Gpa> find_first(const GpaRange& range, MemoryUse wanted);

private:
  AddressSpace& memory_;
  const std::shared_ptr<const MemoryMap> map_ = memory_.map();
  const std::chrono::steady_clock::time_point end_ = std::chrono::steady_clock::now() + kMaxSeekTime;
};

/// lseek's SEEK_DATA and SEEK_HOLE: holes are those of the map and sparse main memory. past_end as lseek's
/// ENXIO. Each is one MemorySearch.
[[nodiscard]] tl::expected<std::uint64_t, ErrorKind> seek_data(AddressSpace& memory, std::uint64_t offset);
[[nodiscard]] tl::expected<std::uint64_t, ErrorKind> seek_hole(AddressSpace& memory, std::uint64_t offset);

} // namespace vmemfs
