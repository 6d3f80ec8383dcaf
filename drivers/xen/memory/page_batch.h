// SPDX-License-Identifier: MIT
// Batch reads of guest memory, many pages per mapping.
#pragma once

#include "driver/driver.h"
#include "drivers/xen/memory/foreign_memory.h"
#include "drivers/xen/memory/layout.h"
#include "drivers/xen/memory/machine_table.h"

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>

namespace vmemfs::xen {

/// The results of a batch beside those of its pieces.
struct BatchOutcome {
  bool gone = false;    ///< there is no such domain any more
  bool refused = false; ///< a page of the map could not be mapped: the map may be stale
};

/// One batch at a time; large (20 KiB), so it is kept per thread. Copies, as a foreign mapping cannot be
/// passed to the kernel. Allocates nothing.
class PageBatch {
public:
  /// Called before each mapping: how many more pages may be mapped without harm to the domain.
  using Allowance = std::function<std::size_t()>;

  struct Source {
    const Layout& layout;
    const ForeignMemory& memory;
    const MachineTable* machine_table; ///< of a PV domain
    const Allowance* allowance;        ///< null: any number
  };

  BatchOutcome read(const Source& source, std::span<ReadPiece> pieces);

private:
  /// The part of a piece within one page.
  struct Part {
    ReadPiece* piece;
    std::size_t at; ///< in the piece's buffer
    std::size_t size;
    std::size_t page; ///< index into frames_
    std::size_t page_offset;
  };

  void plan(const Source& source, ReadPiece& piece);
  void add_page(const Source& source, ReadPiece& piece, std::size_t at, std::size_t size);
  void fetch(const Source& source);
  void copy(const Source& source, const ForeignPages& pages);
  void fail_all(ErrorKind kind);
  void end_piece(const Part& part, ErrorKind kind);

  static constexpr std::size_t kMaxParts = 2 * kBatchPages; ///< small pieces may share pages

  std::array<Frame, kBatchPages> frames_;
  std::array<Gfn, kBatchPages> gfns_;
  std::array<int, kBatchPages> errors_;
  std::array<Part, kMaxParts> parts_;
  std::size_t page_count_ = 0;
  std::size_t part_count_ = 0;
  BatchOutcome outcome_;
};

} // namespace vmemfs::xen
