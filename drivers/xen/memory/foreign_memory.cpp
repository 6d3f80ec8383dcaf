// SPDX-License-Identifier: MIT
#include "drivers/xen/memory/foreign_memory.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace vmemfs::xen {

tl::expected<ForeignPages, int> ForeignMemory::map(std::span<const Frame> frames, std::span<int> errors,
                                                   int protection) const {
  void* const address =
      xenforeignmemory_map(handle_.get(), domain_, protection, frames.size(), frames.data(), errors.data());
  if (address == nullptr) {
    return tl::unexpected{errno};
  }
  // The library's manual says errno, the kernel's driver returns negative errno.
  std::ranges::transform(errors, errors.begin(), [](int error) { return std::abs(error); });
  return ForeignPages{handle_.get(), address, frames.size()};
}

} // namespace vmemfs::xen
