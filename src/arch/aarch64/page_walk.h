// SPDX-License-Identifier: MIT
// Page tables of AArch64 (VMSAv8-64, stage 1): virtual to physical addresses.
//
// Format: Arm's manual (DDI 0487), "Translation table descriptors". With 4 KiB and 16 KiB granules and more
// than 48 bits of addresses the entries are those of FEAT_LPA2 (TCR_ELx.DS), as both come together.
#pragma once

#include "arch/read_entry.h"
#include "core/gpa.h"

#include <cstdint>
#include <optional>

namespace vmemfs::aarch64 {

/// One half of the virtual addresses: what TCR_EL1 says of it, and TTBR0_EL1 or TTBR1_EL1.
struct Paging {
  Gpa root{};                 ///< of the page tables
  unsigned page_shift = 12;   ///< the granule: 12, 14 or 16
  unsigned address_bits = 48; ///< that are translated: 64 - TCR_EL1.T1SZ; 36 to 52
  bool upper = true;          ///< the bits above are ones, as of the kernel; else zeros, as of a process

  static constexpr unsigned kMinAddressBits = 36;
  static constexpr unsigned kMaxAddressBits = 52;
  static constexpr unsigned kMaxLevels = 5;

  /// Whether there are such tables.
  [[nodiscard]] bool is_valid() const;
  [[nodiscard]] unsigned levels() const; ///< of tables; of valid ones

  friend bool operator==(const Paging&, const Paging&) = default;
};

/// One virtual address in the page that maps it.
struct MappedAddress {
  std::uint64_t address;
  Gpa gpa;
  std::uint64_t left; ///< bytes from here to the end of the page

  friend bool operator==(const MappedAddress&, const MappedAddress&) = default;
};

/// Walks the page tables. They are the guest's and can say anything: there is at most one call of `read` for
/// each level. nullopt: not mapped, of the other half, or a table that cannot be read.
[[nodiscard]] std::optional<MappedAddress> translate(const Paging& paging, std::uint64_t address,
                                                     const ReadEntry& read);

/// The lowest address that is mapped, if each table on the way to it maps something. There are at most as
/// many calls of `read` as the tables of all levels have entries.
[[nodiscard]] std::optional<MappedAddress> first_mapped(const Paging& paging, const ReadEntry& read);

} // namespace vmemfs::aarch64
