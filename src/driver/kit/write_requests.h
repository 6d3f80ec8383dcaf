// SPDX-License-Identifier: MIT
// Helpers for Driver::write().
#pragma once

#include "core/error.h"
#include "core/memory_map.h"
#include "driver/driver.h"

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <utility>

namespace vmemfs {

[[nodiscard]] inline WriteOutcome nothing_written(Error why) { return {0, std::move(why)}; }

/// Whether all of the range is memory that can be written: hole or read_only, from `origin`, with the first
/// address that cannot.
[[nodiscard]] Result<void> check_writable(const MemoryMap& map, Gpa gpa, std::size_t size,
                                          std::string_view origin);

/// Writes a range that lies in one region of the map, or fails as a whole.
using WriteRequest = std::function<Result<void>(Gpa gpa, std::span<const std::byte> bytes)>;

/// Writes memory that can be written by requests of at most `max_request` bytes, one after the other, up to
/// the first that fails.
[[nodiscard]] WriteOutcome write_by_requests(const MemoryMap& map, Gpa gpa, std::span<const std::byte> bytes,
                                             std::size_t max_request, const WriteRequest& write);

} // namespace vmemfs
