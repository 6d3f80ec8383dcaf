// SPDX-License-Identifier: MIT
// CRC-32C (Castagnoli), as RFC 3720 has it in section 12.1, by the slicing-by-8 method.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs {

[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes);

} // namespace vmemfs
