// SPDX-License-Identifier: MIT
// Ranges of virtual addresses that page tables map, in the order of addresses.
#pragma once

#include "arch/page_table_format.h"
#include "core/gpa.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace vmemfs {

/// Addresses that are mapped without a gap and with equal rights; or, if `mapped` is false, some that were
/// not searched: that would have taken too long, or the source did not give a table.
struct MappedRange {
  std::uint64_t begin;
  std::uint64_t last; ///< inclusive, as the end of the last one has 65 bits
  bool mapped;
  PageRights rights{};
  std::optional<Gpa> gpa{}; ///< of `begin`, if the physical addresses have no gap either

  friend bool operator==(const MappedRange&, const MappedRange&) = default;
};

enum class TableRead : std::uint8_t {
  done,
  absent, ///< the guest has no memory there: nothing is mapped
  failed, ///< the source did not give it: nobody knows what is mapped
};
/// Fills a buffer with the table at an address. The first one is the root.
using ReadTable = std::function<TableRead(Gpa, std::span<std::byte>)>;

/// Limits of a list. Tables are the guest's: those that point to themselves map each of 2^57 bytes. Linux too
/// maps some pages thousands of times (espfix), so each area of 512 GiB has limits of its own, and what comes
/// after such an area is listed. Each half of the addresses has half of the limits of all, so that what a
/// process maps cannot push its kernel out.
struct ListLimits {
  unsigned area_tables = 2048;
  unsigned area_ranges = 2048;
  unsigned tables = 32768;
  unsigned ranges = 16384;
  std::chrono::milliseconds time{1000};
};

[[nodiscard]] std::vector<MappedRange> list_mapped(const PageTableFormat& format, Gpa root,
                                                   const ReadTable& read, const ListLimits& limits = {});

} // namespace vmemfs
