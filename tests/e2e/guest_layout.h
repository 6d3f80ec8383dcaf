// SPDX-License-Identifier: MIT
// The tests' own reading of `info mtree -f`: where a guest has RAM or ROM, from QEMU's mouth.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vmemfs::test {

struct TrueRange {
  std::uint64_t begin;
  std::uint64_t end; ///< exclusive
  std::string type;  ///< ram, rom, romd
  std::string name;
};

/// RAM and ROM of the address space "memory", sorted, neighbours not joined.
[[nodiscard]] std::vector<TrueRange> true_ranges(const std::string& mtree);

} // namespace vmemfs::test
