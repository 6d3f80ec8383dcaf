// SPDX-License-Identifier: MIT
// Page tables of a guest, and an address that is translated by them: a byte for the mode, the address, the
// root, and memory, which repeats over all physical addresses.
#include "arch/x86_64/mapped_ranges.h"
#include "arch/x86_64/page_walk.h"
#include "arch/x86_64/paging.h"
#include "fuzz/guest/walked_pages.h"

#include <array>

using vmemfs::Gpa;
using vmemfs::ReadEntry;
using vmemfs::x86_64::PageTables;
using vmemfs::x86_64::Paging;
using vmemfs::x86_64::PagingMode;

namespace fuzz = vmemfs::fuzz;

FUZZ_TARGET(text) {
  constexpr std::array kModes{PagingMode::none, PagingMode::bits32, PagingMode::pae, PagingMode::level4,
                              PagingMode::level5};
  constexpr unsigned kPhysicalBits = 52;
  constexpr std::uint64_t kRootMask = 0x000f'ffff'ffff'ffe0;
  const unsigned mode = fuzz::take_byte(text);
  const std::uint64_t address = fuzz::take_number(text);
  const Paging paging{kModes[mode % kModes.size()], Gpa{fuzz::take_number(text) & kRootMask},
                      (mode & 0x40U) != 0, (mode & 0x80U) != 0};
  const std::uint64_t largest = paging.mode == PagingMode::none ? 1ULL << 32U : 1ULL << 30U;
  unsigned reads = 0;
  const ReadEntry read = fuzz::entries_in(text, reads);
  fuzz::check_page(paging, address, read, largest, kPhysicalBits);
  fuzz::expect(reads <= 2 * PageTables::kLevelsWithLa57, "a walk reads one entry of each level");
  fuzz::check_list(paging, read);
  reads = 0;
  const unsigned levels = (mode & 1U) != 0 ? PageTables::kLevelsWithLa57 : PageTables::kLevels;
  const PageTables tables{paging.root.page_start(), levels, read};
  static_cast<void>(tables.first_mapped(address % PageTables::kEntries));
  fuzz::expect(reads <= levels * PageTables::kEntries, "a search reads a table of each level");
}
