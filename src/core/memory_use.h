// SPDX-License-Identifier: MIT
// Use of guest memory: whether the host may hold anything there.
#pragma once

#include <cstdint>

namespace vmemfs {

enum class MemoryUse : unsigned char {
  held,   ///< anything may be there: it has to be read
  sparse, ///< the host surely holds nothing there, and it reads as zeros
};

/// Result of a search for memory of one use, from the begin of a range on.
struct UseSearch {
  std::uint64_t before; ///< bytes from the begin on that are not of that use
  bool found;           ///< the byte after them is; else the search has ended there

  friend bool operator==(const UseSearch&, const UseSearch&) = default;
};

/// The result for `size` bytes, none of which is known to be sparse.
[[nodiscard]] constexpr UseSearch all_held(std::uint64_t size, MemoryUse wanted) {
  return wanted == MemoryUse::held ? UseSearch{0, true} : UseSearch{size, false};
}

/// Whether a result says of any byte that it is sparse.
[[nodiscard]] constexpr bool reports_sparse(const UseSearch& result, MemoryUse wanted) {
  return wanted == MemoryUse::held ? result.before > 0 : result.found;
}

} // namespace vmemfs
