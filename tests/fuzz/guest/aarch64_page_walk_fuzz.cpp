// SPDX-License-Identifier: MIT
// Page tables of an aarch64 guest, and an address that is translated by them: a byte for the granule, one for
// the number of address bits and the half, the address, the root, and memory, which repeats over all physical
// addresses.
#include "arch/aarch64/page_walk.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace {

using vmemfs::Gpa;
using vmemfs::ReadEntry;
using vmemfs::aarch64::first_mapped;
using vmemfs::aarch64::Paging;
using vmemfs::aarch64::translate;
using vmemfs::fuzz::expect;

std::uint64_t take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const std::size_t size = std::min(text.size(), sizeof number);
  std::memcpy(&number, text.data(), size);
  text.remove_prefix(size);
  return number;
}

unsigned take_byte(std::string_view& text) {
  const auto byte = text.empty() ? 0U : static_cast<unsigned char>(text.front());
  text.remove_prefix(text.empty() ? 0 : 1);
  return byte;
}

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
  std::uint64_t reads = 0;
  const std::string_view memory = text;
  const ReadEntry read = [&](Gpa gpa) -> std::optional<std::uint64_t> {
    ++reads;
    expect(gpa.value() % sizeof(std::uint64_t) == 0, "entries are aligned");
    std::string_view rest = memory.substr(memory.empty() ? 0 : gpa.value() % memory.size());
    return rest.size() < sizeof(std::uint64_t) ? std::nullopt : std::optional{take_number(rest)};
  };
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
