// Bytes that are zero and cost nothing: what a hole reads as where holes read as zeros.
#pragma once

#include <cstddef>
#include <span>

namespace vmemfs {

/// At least 1 MiB + 4 KiB of zeros, page-aligned; the largest read there is. Takes 64 KiB of memory, and must
/// not be written to.
[[nodiscard]] std::span<const std::byte> zeros();

} // namespace vmemfs
