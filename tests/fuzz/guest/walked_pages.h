// SPDX-License-Identifier: MIT
// Properties of an address that page tables translate and of the ranges that they map, and the pieces of
// input of the fuzzers of page tables.
#pragma once

#include "arch/mapped_ranges.h"
#include "arch/read_entry.h"
#include "core/gpa.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace vmemfs::fuzz {

inline std::uint64_t take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const std::size_t size = std::min(text.size(), sizeof number);
  std::memcpy(&number, text.data(), size);
  text.remove_prefix(size);
  return number;
}

inline unsigned take_byte(std::string_view& text) {
  const auto byte = text.empty() ? 0U : static_cast<unsigned char>(text.front());
  text.remove_prefix(text.empty() ? 0 : 1);
  return byte;
}

/// Entries of tables in `memory`, which repeats over all physical addresses; counts them.
inline ReadEntry entries_in(std::string_view memory, unsigned& reads) {
  return [memory, &reads](Gpa gpa) -> std::optional<std::uint64_t> {
    ++reads;
    expect(gpa.value() % sizeof(std::uint64_t) == 0, "entries are aligned");
    std::string_view rest = memory.substr(memory.empty() ? 0 : gpa.value() % memory.size());
    return rest.size() < sizeof(std::uint64_t) ? std::nullopt : std::optional{take_number(rest)};
  };
}

/// `largest`: page, in bytes.
template <typename Paging> void check_page(const Paging& paging, std::uint64_t address, const ReadEntry& read,
                                           std::uint64_t largest, unsigned physical_bits) {
  const auto mapped = translate(paging, address, read);
  if (!mapped) {
    return;
  }
  expect(mapped->left > 0 && mapped->left <= largest, "a page has a size");
  expect(mapped->gpa.value() < 1ULL << physical_bits, "a physical address has as many bits");
  expect((mapped->gpa.value() + mapped->left) % kPageSize == 0, "pages are aligned");
  const auto last = translate(paging, address + mapped->left - 1, read);
  expect(last && last->left == 1 && last->gpa == mapped->gpa + (mapped->left - 1) &&
             last->rights == mapped->rights,
         "the page is one to its end");
}

/// What is listed is what an address is translated to.
template <typename Paging> void check_list(const Paging& paging, const ReadEntry& read) {
  const ReadTable read_table = [&](Gpa table, std::span<std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t entry = read(table + at).value_or(0);
      std::memcpy(bytes.data() + at, &entry, sizeof entry);
    }
    return TableRead::done;
  };
  constexpr ListLimits kLimits{
      .area_tables = 8, .area_ranges = 16, .tables = 32, .ranges = 64, .time = std::chrono::hours{1}};
  const auto ranges = list_mapped(paging, read_table, kLimits);
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

} // namespace vmemfs::fuzz
