// SPDX-License-Identifier: MIT
// Entries and levels of the page tables of an architecture, for walks that hold for all of them.
#pragma once

#include "core/gpa.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs {

/// What all entries on the way to a page allow.
struct PageRights {
  bool write = true;
  bool user = true;
  bool execute = true;
  bool read = true;

  friend bool operator==(const PageRights&, const PageRights&) = default;
};

enum class EntryKind : std::uint8_t { absent, table, page };

/// One level of tables.
struct TableLevel {
  unsigned shift; ///< lowest bit of an address that its tables translate
  unsigned index_bits;
};

class PageTableFormat {
public:
  static constexpr std::size_t kMaxLevels = 5;

  PageTableFormat() = default;
  PageTableFormat(const PageTableFormat&) = delete;
  PageTableFormat& operator=(const PageTableFormat&) = delete;
  virtual ~PageTableFormat() = default;

  [[nodiscard]] virtual unsigned entry_bytes() const = 0; ///< 4 or 8
  [[nodiscard]] virtual unsigned levels() const = 0;      ///< at most kMaxLevels
  /// From the root, 0, down.
  [[nodiscard]] virtual TableLevel level(unsigned depth) const = 0;
  /// With the bits above the translated ones as the CPU demands them.
  [[nodiscard]] virtual std::uint64_t canonical(std::uint64_t address) const = 0;

  [[nodiscard]] virtual EntryKind kind_of(unsigned depth, std::uint64_t entry) const = 0;
  /// Of the page or table that an entry points to. `index`: of the entry in its table.
  [[nodiscard]] virtual Gpa target(unsigned depth, std::uint64_t entry, std::uint64_t index) const = 0;
  /// Takes away what an entry does not allow.
  virtual void restrict_rights(PageRights& rights, unsigned depth, std::uint64_t entry) const = 0;
};

} // namespace vmemfs
