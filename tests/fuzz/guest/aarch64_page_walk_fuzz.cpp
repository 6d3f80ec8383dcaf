// SPDX-License-Identifier: MIT
// Page tables of an aarch64 guest, and an address that is translated by them: a byte for the granule, one for
// the number of address bits and the half, the address, the root, and memory, which repeats over all physical
// addresses.
#include "arch/aarch64/page_walk.h"
#include "fuzz/guest/walked_pages.h"

#include <array>

namespace {

using vmemfs::Gpa;
using vmemfs::ReadEntry;
using vmemfs::aarch64::first_mapped;
using vmemfs::aarch64::Paging;
using vmemfs::aarch64::translate;
using vmemfs::fuzz::entries_in;
using vmemfs::fuzz::expect;
using vmemfs::fuzz::take_byte;
using vmemfs::fuzz::take_number;

void check_page(const Paging& paging, std::uint64_t address, const ReadEntry& read) {
  const auto mapped = translate(paging, address, read);
  if (!mapped) {
    return;
  }
  expect(paging.is_valid() && mapped->address == address, "it is the address that was asked for");
  expect(mapped->left > 0 && mapped->left <= 1ULL << 42U, "a page has a size");
  expect(mapped->gpa.value() < 1ULL << 52U, "a physical address has 52 bits");
  expect((mapped->gpa.value() + mapped->left) % (1ULL << paging.page_shift) == 0, "pages are aligned");
  const auto last = translate(paging, address + mapped->left - 1, read);
  expect(last && last->left == 1 && last->gpa == mapped->gpa + (mapped->left - 1),
         "the page is one to its end");
}

} // namespace

FUZZ_TARGET(text) {
  constexpr std::array kShifts{12U, 14U, 16U, 13U};
  const unsigned granule = take_byte(text);
  const unsigned bits = take_byte(text);
  const std::uint64_t address = take_number(text);
  const Paging paging{.root = Gpa{take_number(text) & 0x000f'ffff'ffff'ffff},
                      .page_shift = kShifts.at(granule % kShifts.size()),
                      .address_bits = bits & 0x3fU,
                      .upper = (bits & 0x80U) != 0};
  unsigned reads = 0;
  const ReadEntry read = entries_in(text, reads);
  const std::uint64_t high = paging.upper && paging.address_bits > 0 ? ~0ULL << paging.address_bits : 0;
  for (const std::uint64_t asked : {address, address | high, address & ~high}) {
    reads = 0;
    check_page(paging, asked, read);
    expect(reads <= 2 * Paging::kMaxLevels, "a walk reads one entry of each level");
  }
  reads = 0;
  const auto first = first_mapped(paging, read);
  expect(reads <= Paging::kMaxLevels * 8192, "a search reads a table of each level");
  const auto found = first ? translate(paging, first->address, read) : std::nullopt;
  expect(!first || found == first, "what is found is mapped");
}
