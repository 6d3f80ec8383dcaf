// SPDX-License-Identifier: MIT
// Entries and levels of the page tables of each paging mode. For the walks of this folder only.
#pragma once

#include "arch/page_table_format.h"
#include "arch/x86_64/paging_mode.h"
#include "core/gpa.h"

#include <cstdint>
#include <span>

namespace vmemfs::x86_64 {

constexpr std::uint64_t bit(unsigned number) { return std::uint64_t{1} << number; }
constexpr std::uint64_t low_bits(unsigned count) { return bit(count) - 1; }

inline constexpr std::uint64_t kPresent = bit(0);
inline constexpr std::uint64_t kLarge = bit(7);
inline constexpr std::uint64_t kAddress = 0x000f'ffff'ffff'f000;
inline constexpr std::uint64_t kAddress32 = 0xffff'f000;
inline constexpr std::uint64_t k4GiB = bit(32);

enum class LargePages : std::uint8_t { none, always, if_enabled };

/// One level of tables.
struct Level {
  unsigned shift; ///< lowest bit of an address that its tables translate
  unsigned index_bits;
  LargePages large;
  std::uint64_t reserved = 0;          ///< bits of each entry that every CPU refuses
  std::uint64_t reserved_of_large = 0; ///< and of the entry of a large page
  bool has_rights = true;

  [[nodiscard]] constexpr bool is_last() const { return shift == kPageShift; }
};

struct Format {
  unsigned entry_bytes;
  unsigned address_bits; ///< that are translated
  std::span<const Level> levels;

  [[nodiscard]] bool is_64bit() const { return address_bits > 32; }
  /// With the bits above the translated ones as the CPU demands them.
  [[nodiscard]] std::uint64_t canonical(std::uint64_t address) const;
  /// Of a page of `1 << shift` bytes, or of a table.
  [[nodiscard]] std::uint64_t target(std::uint64_t entry, unsigned shift) const;
};

[[nodiscard]] Format format_of(PagingMode mode);

/// absent: also of an entry with reserved bits. How many bits physical addresses have depends on the CPU, so
/// all 52 are taken.
[[nodiscard]] EntryKind kind_of(const Paging& paging, const Level& level, std::uint64_t entry);

/// Adds what an entry of that level forbids.
void restrict_rights(PageRights& rights, const Level& level, std::uint64_t entry);

} // namespace vmemfs::x86_64
