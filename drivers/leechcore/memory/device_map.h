// SPDX-License-Identifier: MIT
// Memory map of a device: LeechCore's text of it, and the files in which a user names one.
//
// LeechCore's text has a range a line, hexadecimal, its top inclusive: `index base - top -> remap`; index and
// remap may be missing. `remap` is the address at the device. memflow's files are TOML: tables `[[range]]`
// with `base`, `length` and maybe `real_base`, in any order. Pure functions, thread-safe.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::leechcore {

inline constexpr std::size_t kMaxRanges = 16384;

struct DeviceRange {
  GpaRange range;          ///< whole pages
  std::uint64_t remap = 0; ///< where it begins at the device

  friend bool operator==(const DeviceRange&, const DeviceRange&) = default;
};

/// Sorted and without overlaps, else invalid, with the line. Empty for a text without ranges.
[[nodiscard]] Result<std::vector<DeviceRange>> parse_device_map(std::string_view text);
/// The same for a file of either form.
[[nodiscard]] Result<std::vector<DeviceRange>> parse_map_file(std::string_view text);

/// As LeechCore takes it: without indexes, as it does not recognize those above 0xff.
[[nodiscard]] std::string to_device_map(std::span<const DeviceRange> ranges);

/// All memory up to `max_address`, for a device without a map. Empty: it has none.
[[nodiscard]] std::vector<DeviceRange> all_up_to(std::uint64_t max_address);

[[nodiscard]] Result<MemoryMap> to_memory_map(std::span<const DeviceRange> ranges, bool writable,
                                              const std::string& block);

} // namespace vmemfs::leechcore
