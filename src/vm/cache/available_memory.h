// SPDX-License-Identifier: MIT
// Memory of this host that can be used without swapping.
#pragma once

#include <cstdint>

namespace vmemfs {

/// As the kernel estimates it (MemAvailable of /proc/meminfo), in bytes; 0 if it does not say.
[[nodiscard]] std::uint64_t available_memory();

} // namespace vmemfs
