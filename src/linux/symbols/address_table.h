// SPDX-License-Identifier: MIT
// The addresses of kallsyms, in each of the places where kernels have them.
#pragma once

#include "linux/symbols/image_range.h"
#include "linux/symbols/kallsyms_window.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace vmemfs::kallsyms {

/// `count_address` is that of num_syms, `index_end` that of the end of token_index. nullopt: no place has
/// addresses that rise and lie in the image.
[[nodiscard]] std::optional<std::vector<std::uint64_t>>
find_addresses(const Window& window, KernelImageRange image, std::uint64_t count_address,
               std::uint64_t index_end, std::size_t count);

} // namespace vmemfs::kallsyms
