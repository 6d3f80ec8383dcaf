// SPDX-License-Identifier: MIT
// Page tables of x86-64 in long mode: virtual to physical addresses.
#pragma once

#include "arch/x86_64/paging.h"
#include "core/gpa.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace vmemfs::x86_64 {

/// A root of page tables, as CR3 has it. The tables are the guest's and can say anything: no answer takes
/// more reads than the levels have entries.
class PageTables {
public:
  static constexpr unsigned kLevels = 4;
  static constexpr unsigned kLevelsWithLa57 = 5;
  static constexpr std::uint64_t kEntries = 512;

  /// `read` outlives this object.
  PageTables(Gpa root, unsigned levels, const ReadEntry& read) : root_{root}, levels_{levels}, read_{read} {}

  /// nullopt: not mapped, or a table cannot be read.
  [[nodiscard]] std::optional<Gpa> translate(std::uint64_t address) const;

  /// The first address that is mapped by an entry of the top table with this index or a higher one, rounded
  /// down to 1 GiB.
  [[nodiscard]] std::optional<std::uint64_t> first_mapped(std::uint64_t from_index) const;

  /// An entry of the top table, of which only the address is kept; nullopt if it is not present.
  [[nodiscard]] std::optional<Gpa> top_entry(std::uint64_t index) const;

private:
  const Gpa root_;
  const unsigned levels_;
  const ReadEntry& read_;
};

} // namespace vmemfs::x86_64
