// SPDX-License-Identifier: MIT
// Client of QEMU's gdb stub that asks for memory and drops what it gets: the speed of the stub itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vmemfs::bench {

/// MB/s of memory from `begin` on, in packets of 2 KiB, with always `under_way` of them unanswered. Stops the
/// guest. Throws std::runtime_error.
[[nodiscard]] double stub_speed(const std::string& path, std::uint64_t begin, std::size_t bytes,
                                std::size_t under_way);

} // namespace vmemfs::bench
