// SPDX-License-Identifier: MIT
// LiME, version 1: for each range a header of 32 bytes and its memory.
#pragma once

#include "core/gpa.h"
#include "image/image_layout.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmemfs {

inline constexpr std::size_t kLimeHeaderBytes = 32;

/// Size of the image of these ranges.
[[nodiscard]] std::uint64_t lime_bytes(std::span<const GpaRange> ranges);

[[nodiscard]] ImageLayout lime_layout(std::span<const GpaRange> ranges);
/// The headers of all ranges, one behind the other.
[[nodiscard]] std::vector<std::byte> lime_headers(std::span<const GpaRange> ranges);

} // namespace vmemfs
