// SPDX-License-Identifier: MIT
// Search of a kernel's image for bytes.
#pragma once

#include "linux/kernel_memory.h"
#include "linux/symbols/image_range.h"

#include <cstdint>
#include <functional>
#include <string_view>

namespace vmemfs {

inline constexpr unsigned kMaxPlaces = 4096;

/// Calls `found` with the address of each place in the image that has these bytes, until it returns true, or
/// the limit of the calling thread's work is reached. There are at most kMaxPlaces calls.
void for_each_place(KernelMemory& memory, KernelImageRange image, std::string_view bytes,
                    const std::function<bool(std::uint64_t address)>& found);

} // namespace vmemfs
