// SPDX-License-Identifier: MIT
// Present pages of an address space: /proc/PID/pagemap (format: the kernel's admin-guide/mm/pagemap.rst; one
// 64-bit entry per page).
#pragma once

#include "core/memory_use.h"
#include "host/hva.h"
#include "host/process_space.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs {

/// The space must outlive it.
class Pagemap {
public:
  explicit Pagemap(const ProcessSpace& space) : fd_{space.pagemap()} {}

  /// Fills `entries` for the pages from `hva` on. Number of entries filled: fewer at the end of the
  /// address space, 0 once the process has ended or on an error. No allocation; thread-safe.
  [[nodiscard]] std::size_t read(Hva hva, std::span<std::uint64_t> entries) const;

  /// In memory (bit 63) or swapped out (bit 62): a read through the process allocates nothing.
  [[nodiscard]] static constexpr bool is_there(std::uint64_t entry) { return (entry >> 62) != 0; }

  /// Whether a page of [begin, begin + size) is present: read() reports a huge page as absent while the
  /// kernel moves it, or if it is poisoned. Always false before Linux 6.7, which cannot report it.
  [[nodiscard]] bool any_huge_page(Hva begin, std::size_t size) const;

  /// Searches private memory without a file for the first byte of one use; at most 1 GiB, which takes
  /// milliseconds. A page is sparse if it is neither present nor swapped out, or is the kernel's page of
  /// zeros, as a read leaves behind. An address space that has gone looks sparse: ask ProcessSpace::alive()
  /// afterwards.
  [[nodiscard]] UseSearch find(const HvaRange& range, MemoryUse wanted) const;

  /// The same as find() does it before Linux 6.7: the page of zeros is held, addresses where nothing is
  /// mapped are sparse, and at most 16 MiB are searched.
  [[nodiscard]] UseSearch find_by_reading(const HvaRange& range, MemoryUse wanted) const;

private:
  int fd_;
};

} // namespace vmemfs
