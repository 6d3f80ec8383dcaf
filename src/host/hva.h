// SPDX-License-Identifier: MIT
// Host virtual addresses: addresses at which another process (a VMM) has guest memory mapped.
//
// They are valid only together with their process and are never dereferenced.
#pragma once

#include <cstdint>

namespace vmemfs {

/// Address in another process; an alias, not a distinct type.
using Hva = std::uint64_t;

/// Half-open: [begin, end).
struct HvaRange {
  Hva begin = 0;
  Hva end = 0;

  [[nodiscard]] constexpr std::uint64_t size() const { return end - begin; }
  [[nodiscard]] constexpr bool empty() const { return begin >= end; }
  [[nodiscard]] constexpr bool contains(Hva hva) const { return begin <= hva && hva < end; }

  friend constexpr bool operator==(const HvaRange&, const HvaRange&) = default;
};

} // namespace vmemfs
