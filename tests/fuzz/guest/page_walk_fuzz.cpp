// SPDX-License-Identifier: MIT
// Page tables of a guest, and an address that is translated by them: a byte for the mode, the address, the
// root, and memory, which repeats over all physical addresses.
#include "arch/x86_64/mapped_ranges.h"
#include "arch/x86_64/page_walk.h"
#include "arch/x86_64/paging.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <span>

namespace {

using vmemfs::Gpa;
using vmemfs::ListLimits;
using vmemfs::MappedRange;
using vmemfs::fuzz::expect;
using vmemfs::x86_64::PageTables;
using vmemfs::x86_64::Paging;
using vmemfs::x86_64::PagingMode;
using vmemfs::x86_64::ReadEntry;
using vmemfs::x86_64::translate;

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

void check_page(const Paging& paging, std::uint64_t address, const ReadEntry& read) {
  const auto mapped = translate(paging, address, read);
  if (!mapped) {
    return;
  }
  const std::uint64_t largest = paging.mode == PagingMode::none ? 1ULL << 32U : 1ULL << 30U;
  expect(mapped->left > 0 && mapped->left <= largest, "a page has a size");
  expect(mapped->gpa.value() < 1ULL << 52U, "a physical address has 52 bits");
  expect((mapped->gpa.value() + mapped->left) % vmemfs::kPageSize == 0, "pages are aligned");
  const auto last = translate(paging, address + mapped->left - 1, read);
  expect(last && last->left == 1 && last->gpa == mapped->gpa + (mapped->left - 1) &&
             last->rights == mapped->rights,
         "the page is one to its end");
}

/// What is listed is what an address is translated to.
void check_list(const Paging& paging, const ReadEntry& read) {
  const vmemfs::ReadTable read_table = [&](Gpa table, std::span<std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t entry = read(table + at).value_or(0);
      std::memcpy(bytes.data() + at, &entry, sizeof entry);
    }
    return vmemfs::TableRead::done;
  };
  constexpr ListLimits kLimits{
      .area_tables = 8, .area_ranges = 16, .tables = 32, .ranges = 64, .time = std::chrono::hours{1}};
  const auto ranges = vmemfs::x86_64::list_mapped(paging, read_table, kLimits);
  const MappedRange* before = nullptr;
  for (const MappedRange& range : ranges) {
    expect(range.begin <= range.last && (before == nullptr || before->last < range.begin),
           "ranges are sorted");
    before = &range;
    if (!range.mapped) {
      continue;
    }
    const auto first = translate(paging, range.begin, read);
    const auto last = translate(paging, range.last, read);
    expect(first && first->rights == range.rights && last && last->rights == range.rights,
           "a range is mapped");
    expect(!range.gpa || (first->gpa == *range.gpa && last->gpa == *range.gpa + (range.last - range.begin)),
           "physical addresses are those of the walk");
  }
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
  const ReadEntry read = [&](Gpa gpa) -> std::optional<std::uint64_t> {
    ++reads;
    expect(gpa.value() % sizeof(std::uint64_t) == 0, "entries are aligned");
    std::string_view rest = memory.substr(memory.empty() ? 0 : gpa.value() % memory.size());
    return rest.size() < sizeof(std::uint64_t) ? std::nullopt : std::optional{take_number(rest)};
  };
  check_page(paging, address, read);
  expect(reads <= 2 * PageTables::kLevelsWithLa57, "a walk reads one entry of each level");
  check_list(paging, read);
  reads = 0;
  const unsigned levels = (mode & 1U) != 0 ? PageTables::kLevelsWithLa57 : PageTables::kLevels;
  const PageTables tables{paging.root.page_start(), levels, read};
  static_cast<void>(tables.first_mapped(address % PageTables::kEntries));
  expect(reads <= levels * PageTables::kEntries, "a search reads a table of each level");
}
