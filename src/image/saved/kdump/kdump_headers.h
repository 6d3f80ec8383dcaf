// SPDX-License-Identifier: MIT
// Structures of kdump-compressed files of little-endian machines, for their reader and their writer.
//
// Format: makedumpfile's IMPLEMENTATION and diskdump_mod.h (struct disk_dump_header, kdump_sub_header,
// page_desc), and its struct makedumpfile_header and makedumpfile_data_header for the flattened form.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// At offset 0. A block is a page of the guest.
struct KdumpHeader {
  std::array<char, 8> signature; ///< "KDUMP   " or "DISKDUMP"
  std::int32_t version;
  std::array<std::array<char, 65>, 6> uname; ///< see kKdumpSystem and the others
  std::array<char, 6> padding;
  std::int64_t seconds; ///< time of the dump, since 1970
  std::int64_t microseconds;
  std::uint32_t status; ///< how pages are packed, as in descriptors
  std::uint32_t block_size;
  std::int32_t sub_header_blocks;
  std::uint32_t bitmap_blocks; ///< of both
  std::uint32_t max_frame;     ///< the first one that is not there, if it fits in here
  std::uint32_t total_blocks;
  std::uint32_t device_blocks;
  std::uint32_t written_blocks;
  std::uint32_t current_cpu;
  std::uint32_t cpus;
};
static_assert(offsetof(KdumpHeader, uname) == 12 && offsetof(KdumpHeader, seconds) == 408 &&
              offsetof(KdumpHeader, block_size) == 428 && sizeof(KdumpHeader) == 464);

/// Of KdumpHeader::uname.
inline constexpr std::size_t kKdumpSystem = 0;
inline constexpr std::size_t kKdumpRelease = 2;
inline constexpr std::size_t kKdumpVersion = 3;
inline constexpr std::size_t kKdumpMachine = 4;

/// In the second block.
struct KdumpSubHeader {
  std::uint64_t phys_base;
  std::int32_t dump_level;
  std::int32_t split;
  std::uint64_t start_frame;
  std::uint64_t end_frame;
  std::uint64_t vmcoreinfo_offset;
  std::uint64_t vmcoreinfo_size;
  std::uint64_t notes_offset;
  std::uint64_t notes_size;
  std::uint64_t erased_offset;
  std::uint64_t erased_size;
  std::uint64_t start_frame_64;
  std::uint64_t end_frame_64;
  std::uint64_t max_frame_64;
};
static_assert(sizeof(KdumpSubHeader) == 104);

/// As KdumpHeader, of a 32-bit machine.
struct KdumpHeader32 {
  std::array<char, 8> signature;
  std::int32_t version;
  std::array<std::array<char, 65>, 6> uname;
  std::array<char, 2> padding;
  std::int32_t seconds;
  std::int32_t microseconds;
  std::uint32_t status;
  std::uint32_t block_size;
  std::int32_t sub_header_blocks;
  std::uint32_t bitmap_blocks;
  std::uint32_t max_frame;
};
static_assert(offsetof(KdumpHeader32, seconds) == 404 && offsetof(KdumpHeader32, block_size) == 416 &&
              sizeof(KdumpHeader32) == 432);

/// As KdumpSubHeader, of a 32-bit machine, with 64-bit numbers that are not aligned.
struct __attribute__((packed)) KdumpSubHeader32 {
  std::uint32_t phys_base;
  std::int32_t dump_level;
  std::int32_t split;
  std::uint32_t start_frame;
  std::uint32_t end_frame;
  std::uint64_t vmcoreinfo_offset;
  std::uint32_t vmcoreinfo_size;
  std::uint64_t notes_offset;
  std::uint32_t notes_size;
  std::uint64_t erased_offset;
  std::uint32_t erased_size;
  std::uint64_t start_frame_64;
  std::uint64_t end_frame_64;
  std::uint64_t max_frame_64;
};
static_assert(offsetof(KdumpSubHeader32, notes_offset) == 32 && sizeof(KdumpSubHeader32) == 80);

/// The same with aligned numbers, as of ARM.
struct KdumpSubHeader32Aligned {
  std::uint32_t phys_base;
  std::int32_t dump_level;
  std::int32_t split;
  std::uint32_t start_frame;
  std::uint32_t end_frame;
  std::uint32_t padding;
  std::uint64_t vmcoreinfo_offset;
  std::uint64_t vmcoreinfo_size; ///< the upper half is padding
  std::uint64_t notes_offset;
  std::uint32_t notes_size;
  std::uint32_t notes_padding;
  std::uint64_t erased_offset;
  std::uint64_t erased_size; ///< the upper half is padding
  std::uint64_t start_frame_64;
  std::uint64_t end_frame_64;
  std::uint64_t max_frame_64;
};
static_assert(offsetof(KdumpSubHeader32Aligned, notes_offset) == 40 && sizeof(KdumpSubHeader32Aligned) == 96);

/// One for each stored page, behind the bitmaps, in the order of their numbers.
struct KdumpPageDescriptor {
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t flags; ///< PageCodec
  std::uint64_t page_flags;
};
static_assert(sizeof(KdumpPageDescriptor) == 24);

/// Before each piece of a flattened file; both are big-endian, and negative after the last piece.
struct FlattenedRecord {
  std::uint64_t offset;
  std::uint64_t size;
};

inline constexpr std::array<char, 16> kFlattenedSignature{"makedumpfile\0\0\0"};
inline constexpr std::uint64_t kFlattenedHeaderBytes = 4096;

} // namespace vmemfs
