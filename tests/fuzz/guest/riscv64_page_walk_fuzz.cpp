// SPDX-License-Identifier: MIT
// Page tables of a riscv64 guest, and an address that is translated by them: a byte for the mode, the
// address, the root, and memory, which repeats over all physical addresses.
#include "arch/riscv64/paging.h"
#include "fuzz/guest/walked_pages.h"

#include <array>

using vmemfs::Gpa;
using vmemfs::ReadEntry;
using vmemfs::riscv64::Paging;
using vmemfs::riscv64::PagingMode;

namespace fuzz = vmemfs::fuzz;

FUZZ_TARGET(text) {
  constexpr std::array kModes{PagingMode::none, PagingMode::sv39, PagingMode::sv48, PagingMode::sv57};
  constexpr unsigned kMaxLevels = 5;
  constexpr unsigned kPhysicalBits = 56;
  constexpr std::uint64_t kRootMask = 0x00ff'ffff'ffff'f000;
  const unsigned mode = fuzz::take_byte(text);
  const std::uint64_t address = fuzz::take_number(text);
  const Paging paging{kModes[mode % kModes.size()], Gpa{fuzz::take_number(text) & kRootMask}};
  const std::uint64_t largest = paging.mode == PagingMode::none ? 1ULL << kPhysicalBits : 1ULL << 48U;
  unsigned reads = 0;
  const ReadEntry read = fuzz::entries_in(text, reads);
  for (const std::uint64_t asked : {address, address | 0xffff'ffc0'0000'0000, address & 0x3f'ffff'ffff}) {
    reads = 0;
    fuzz::check_page(paging, asked, read, largest, kPhysicalBits);
    fuzz::expect(reads <= 2 * kMaxLevels, "a walk reads one entry of each level");
  }
  fuzz::check_list(paging, read);
}
