// SPDX-License-Identifier: MIT
// Offsets of the fields of QEMU's private structures that the flat view needs.
//
// Fixed offsets are those of memory.h, memory.c and ramblock.h of QEMU on 64-bit hosts, the same from
// QEMU 4 to 10 at least; those that moved between versions are found by searching for known contents. In both
// cases flat_view.cpp checks everything that it reads.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process_space.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace vmemfs::qemu {

/// struct AddressSpace
inline constexpr std::size_t kAddressSpaceName = 16;
inline constexpr std::size_t kAddressSpaceRoot = 24; ///< the current view's pointer follows

/// struct MemoryRegion: fields in front of those that move, and fields at a fixed distance before its name
inline constexpr std::size_t kRegionRam = 41;
inline constexpr std::size_t kRegionRomDevice = 45;
inline constexpr std::size_t kRegionBlock = 56;
inline constexpr std::size_t kRegionOwner = 64;
inline constexpr std::size_t kRegionTerminatesBeforeName = 80; ///< true for a region that is not a container
inline constexpr std::size_t kRegionRamDeviceBeforeName = 79;
/// Manager of the parts that are discarded (RamDiscardManager), since QEMU 6.1. Checked by its type.
inline constexpr std::size_t kRegionManagerAfterName = 24;

/// struct RAMBlock
inline constexpr std::size_t kBlockRegion = 16;
inline constexpr std::size_t kBlockHost = 24;
inline constexpr std::size_t kBlockUsedLength = 48;
inline constexpr std::size_t kBlockIdSize = 256;

/// The addresses and offsets that differ between processes and versions.
struct FlatViewLayout {
  Hva address_space = 0;           ///< of address_space_memory
  Hva block_list = 0;              ///< ram_list from its member `blocks` on, with the counter of changes
  std::size_t block_list_size = 0; ///< in bytes, at most kMaxBlockList
  std::size_t region_name = 0;     ///< in MemoryRegion
  std::size_t block_id = 0;        ///< in RAMBlock
};

inline constexpr std::size_t kMaxBlockList = 256;

/// Finds the symbols and the fields that move. unsupported: this QEMU has no usable symbols or an unknown
/// layout. busy: it has not created its memory yet.
[[nodiscard]] Result<FlatViewLayout> locate_flat_view(const ProcessSpace& space);

/// Name of the QOM type of the object at `hva`, such as "memory-backend-ram"; empty if there is none.
[[nodiscard]] std::string read_qemu_type(const ProcessSpace& space, Hva hva);

/// A NUL-terminated string of at most 255 bytes of printable ASCII at `hva`. invalid: there is no such
/// string.
[[nodiscard]] Result<std::string> read_qemu_string(const ProcessSpace& space, Hva hva);

/// The text up to the first NUL if it is printable ASCII, else an error (invalid).
[[nodiscard]] Result<std::string> parse_qemu_string(std::span<const std::byte> bytes);

/// A field of a structure that was read in one piece.
template <typename T> [[nodiscard]] T field(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.subspan(offset, sizeof value).data(), sizeof value);
  return value;
}

} // namespace vmemfs::qemu
