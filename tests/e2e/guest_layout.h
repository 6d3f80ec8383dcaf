// SPDX-License-Identifier: MIT
// Independent parser of `info mtree -f` for tests: the guest's RAM and ROM as reported by QEMU.
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

/// RAM and ROM of the address space "memory", sorted; adjacent ranges are not merged.
[[nodiscard]] std::vector<TrueRange> true_ranges(const std::string& mtree);

} // namespace vmemfs::test
