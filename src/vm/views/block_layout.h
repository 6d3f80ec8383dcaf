// SPDX-License-Identifier: MIT
// Layout of a block of backing memory as a file: which of its bytes the guest has at which addresses.
#pragma once

#include "core/memory_map.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// File names of the map's blocks, by index: the names as in `maps`, made safe. Of several blocks with one
/// name, all but the first have a number appended, such as vga.vram-1; the first is the one that begins at
/// the lowest address. Empty: the guest has nothing of the block now, or there are too many.
[[nodiscard]] std::vector<std::string> block_names(const MemoryMap& map);

/// A VMM could have thousands of them, and names are looked up one by one.
inline constexpr std::size_t kMaxNamedBlocks = 1024;

/// Of one block in one map.
struct BlockLayout {
  /// A range of the block that the guest has at an address.
  struct Part {
    std::uint64_t begin; ///< in the block, in bytes
    std::uint64_t end;
    Gpa gpa; ///< of begin
  };

  std::vector<Part> parts; ///< sorted by begin, no overlap; what lies between is hidden
  Region any;              ///< names the block to BlockMemory

  /// End of the last part.
  [[nodiscard]] std::uint64_t end() const { return parts.back().end; }
};

/// By the name of its file; nullopt: the map has no such block.
[[nodiscard]] std::optional<BlockLayout> block_layout(const MemoryMap& map, std::string_view name);

} // namespace vmemfs
