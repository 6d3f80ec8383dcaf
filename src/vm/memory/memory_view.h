// SPDX-License-Identifier: MIT
// A guest's physical address space as a file: offsets are guest physical addresses.
//
// It decides what a reader gets at holes and bad pages (docs/semantics.md).
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "driver/driver.h"
#include "vm/cache/bad_pages.h"
#include "vm/memory/cache_use.h"
#include "vm/memory/hole_policy.h"
#include "vm/memory/read_scratch.h"
#include "vm/vm_jobs.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace vmemfs {

/// Thread-safe; each read brings its own scratch. References must outlive the view.
class MemoryView {
public:
  MemoryView(Driver& driver, BadPages& bad_pages) : driver_{driver}, bad_pages_{bad_pages} {}

  /// Max size of a read; longer ones are truncated.
  static constexpr std::size_t kMaxRead = ReadScratch::kStaging;

  /// Reads [offset, offset + size) into scratch.data(). Returns fewer bytes than requested if the space
  /// ends or, in honest mode, at a hole; none past the end. Every byte was read from the guest or is a
  /// documented zero.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::uint64_t offset, std::size_t size,
                                                          HolePolicy policy, ReadScratch& scratch,
                                                          const CacheUse& use = {});

  /// Reads several ranges, one behind the other, with one call of the driver. The answer is short if one of
  /// them is, and ends there.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::span<const GpaRange> ranges, HolePolicy policy,
                                                          ReadScratch& scratch, const CacheUse& use = {});

  /// Reads scattered pieces with one call of the driver, each with its own result; see
  /// AddressSpace::read_each().
  /// `jobs`: of the VM, for a thread that helps.
  [[nodiscard]] tl::expected<void, ErrorKind> read_each(std::span<ReadPiece> pieces, const CacheUse& use,
                                                        const VmJobs& jobs);

  /// [offset, offset + size), for read().
  [[nodiscard]] static GpaRange range_of(std::uint64_t offset, std::size_t size) {
    const std::uint64_t room = std::numeric_limits<std::uint64_t>::max() - offset;
    return {Gpa{offset}, Gpa{offset + std::min<std::uint64_t>(size, room)}};
  }

  /// Fetches pages of the range into the cache; a page that cannot be read is left to the reader that
  /// requests it. `use` has a cache.
  void prefetch(GpaRange range, ReadScratch& scratch, const CacheUse& use);

  [[nodiscard]] std::uint64_t size() const { return driver_.memory_map()->ram_end().value(); }

private:
  Driver& driver_;
  BadPages& bad_pages_;
};

} // namespace vmemfs
