// SPDX-License-Identifier: MIT
// Place of a kernel's image in its virtual memory.
#pragma once

#include <cstdint>

namespace vmemfs {

/// Virtual addresses of a kernel's image: [begin, end).
struct KernelImageRange {
  std::uint64_t begin;
  std::uint64_t end;
};

/// Max size of an image that is searched; the rest of a larger one is left out.
inline constexpr std::uint64_t kMaxKernelImage = std::uint64_t{256} << 20U;

} // namespace vmemfs
