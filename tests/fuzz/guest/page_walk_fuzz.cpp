// SPDX-License-Identifier: MIT
// Page tables of a guest, and an address that is translated by them: a byte for the mode, the address, the
// root, and memory, which repeats over all physical addresses.
#include "arch/x86_64/page_walk.h"
#include "arch/x86_64/paging.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace {

using vmemfs::Gpa;
using vmemfs::x86_64::PageTables;
using vmemfs::x86_64::Paging;
using vmemfs::x86_64::PagingMode;

constexpr std::array kModes{PagingMode::none, PagingMode::bits32, PagingMode::pae, PagingMode::level4,
                            PagingMode::level5};

std::uint64_t take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const std::size_t size = std::min(text.size(), sizeof number);
  std::memcpy(&number, text.data(), size);
  text.remove_prefix(size);
  return number;
}

std::uint64_t take_byte(std::string_view& text) {
  const auto byte = text.empty() ? 0U : static_cast<unsigned char>(text.front());
  text.remove_prefix(text.empty() ? 0 : 1);
  return byte;
}

void check_page(const Paging& paging, std::uint64_t address, const vmemfs::x86_64::ReadEntry& read) {
  const auto mapped = vmemfs::x86_64::translate(paging, address, read);
  if (!mapped) {
    return;
  }
  const std::uint64_t largest = paging.mode == PagingMode::none ? 1ULL << 32U : 1ULL << 30U;
  vmemfs::fuzz::expect(mapped->left > 0 && mapped->left <= largest, "a page has a size");
  vmemfs::fuzz::expect(mapped->gpa.value() < 1ULL << 52U, "a physical address has 52 bits");
  vmemfs::fuzz::expect((mapped->gpa.value() + mapped->left) % vmemfs::kPageSize == 0, "pages are aligned");
  const auto last = vmemfs::x86_64::translate(paging, address + mapped->left - 1, read);
  vmemfs::fuzz::expect(last && last->left == 1 && last->gpa == mapped->gpa + (mapped->left - 1) &&
                           last->rights == mapped->rights,
                       "the page is one to its end");
}

} // namespace

FUZZ_TARGET(text) {
  const std::uint64_t mode = take_byte(text);
  const std::uint64_t address = take_number(text);
  constexpr std::uint64_t kRootMask = 0x000f'ffff'ffff'ffe0;
  const Paging paging{kModes[mode % kModes.size()], Gpa{take_number(text) & kRootMask}, (mode & 0x40U) != 0,
                      (mode & 0x80U) != 0};
  unsigned reads = 0;
  const std::string_view memory = text;
  const vmemfs::x86_64::ReadEntry read = [&](Gpa gpa) -> std::optional<std::uint64_t> {
    ++reads;
    vmemfs::fuzz::expect(gpa.value() % sizeof(std::uint64_t) == 0, "entries are aligned");
    std::string_view rest = memory.substr(memory.empty() ? 0 : gpa.value() % memory.size());
    return rest.size() < sizeof(std::uint64_t) ? std::nullopt : std::optional{take_number(rest)};
  };
  check_page(paging, address, read);
  vmemfs::fuzz::expect(reads <= 2 * PageTables::kLevelsWithLa57, "a walk reads one entry of each level");
  reads = 0;
  const unsigned levels = (mode & 1U) != 0 ? PageTables::kLevelsWithLa57 : PageTables::kLevels;
  const PageTables tables{paging.root.page_start(), levels, read};
  static_cast<void>(tables.first_mapped(address % PageTables::kEntries));
  vmemfs::fuzz::expect(reads <= levels * PageTables::kEntries, "a search reads a table of each level");
}
