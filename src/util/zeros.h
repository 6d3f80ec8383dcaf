// SPDX-License-Identifier: MIT
// Zero bytes that need almost no memory, for holes that read as zeros.
#pragma once

#include <cstddef>
#include <span>

namespace vmemfs {

/// At least 1 MiB + 4 KiB of zeros (the max read size), page-aligned. Takes 64 KiB of memory, and must not
/// be written to.
[[nodiscard]] std::span<const std::byte> zeros();

/// Whether all bytes are zero; at most as many as zeros() has.
[[nodiscard]] bool is_zero(std::span<const std::byte> bytes);

} // namespace vmemfs
