// SPDX-License-Identifier: MIT
// Where the fields of QEMU's private structures lie that the flat view needs.
//
// Fixed offsets are those of memory.h, memory.c and ramblock.h of QEMU on 64-bit hosts, the same from
// QEMU 4 to 10 at least; those that moved between versions are found by looking for what must be
// there. Either way flat_view.cpp checks all that it reads.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace vmemfs::qemu {

/// struct AddressSpace
inline constexpr std::size_t kAddressSpaceName = 16;
inline constexpr std::size_t kAddressSpaceRoot = 24; ///< the current view's pointer follows

/// struct MemoryRegion: fields before those that move, and by distance before its name
inline constexpr std::size_t kRegionRam = 41;
inline constexpr std::size_t kRegionRomDevice = 45;
inline constexpr std::size_t kRegionBlock = 56;
inline constexpr std::size_t kRegionTerminatesBeforeName = 80; ///< no container
inline constexpr std::size_t kRegionRamDeviceBeforeName = 79;

/// struct RAMBlock
inline constexpr std::size_t kBlockRegion = 16;
inline constexpr std::size_t kBlockHost = 24;
inline constexpr std::size_t kBlockUsedLength = 48;
inline constexpr std::size_t kBlockIdSize = 256;

/// What differs between processes and versions.
struct FlatViewLayout {
  Hva address_space = 0;           ///< of address_space_memory
  Hva block_list = 0;              ///< ram_list from its `blocks` on, which holds the count of changes
  std::size_t block_list_size = 0; ///< in bytes, at most kMaxBlockList
  std::size_t region_name = 0;     ///< in MemoryRegion
  std::size_t block_id = 0;        ///< in RAMBlock
};

inline constexpr std::size_t kMaxBlockList = 256;

/// Finds the symbols and the fields that move. unsupported: not a QEMU that this works with. busy: it
/// has not made its memory yet.
[[nodiscard]] Result<FlatViewLayout> locate_flat_view(const Process& process);

/// A NUL-terminated string of printable ASCII of at most 255 bytes at `hva`. invalid: it isn't one.
[[nodiscard]] Result<std::string> read_qemu_string(const Process& process, Hva hva);

/// The text up to the first NUL if it is printable ASCII, else an error (invalid).
[[nodiscard]] Result<std::string> parse_qemu_string(std::span<const std::byte> bytes);

/// A field of a structure that was read in one piece.
template <typename T> [[nodiscard]] T field(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.subspan(offset, sizeof value).data(), sizeof value);
  return value;
}

} // namespace vmemfs::qemu
