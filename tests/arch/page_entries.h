// SPDX-License-Identifier: MIT
// Bits of the entries of x86 page tables, as the manuals of Intel and AMD name them.
#pragma once

#include <cstdint>

namespace vmemfs::x86_64 {

inline constexpr std::uint64_t kPresent = 1;
inline constexpr std::uint64_t kWritable = 2;
inline constexpr std::uint64_t kUser = 4;
inline constexpr std::uint64_t kAll = kPresent | kWritable | kUser;
inline constexpr std::uint64_t kLarge = 0x80;
inline constexpr std::uint64_t kNoExecute = 1ULL << 63U;
inline constexpr std::uint64_t kMiB = 1U << 20U;

} // namespace vmemfs::x86_64
