// SPDX-License-Identifier: MIT
#include "arch/x86_64/page_walk.h"

#include "arch/x86_64/paging_format.h"

namespace vmemfs::x86_64 {
namespace {

constexpr unsigned kIndexBits = 9;
constexpr unsigned kGiantLevel = 3; ///< entries of 1 GiB; those of 2 MiB are of level 2

/// Lowest bit of an address that the tables of a level translate; level 1 has pages of 4 KiB.
unsigned shift_of(unsigned level) { return kPageShift + (level - 1) * kIndexBits; }

/// Fills the bits above the translated ones with the highest of them.
std::uint64_t canonical(std::uint64_t address, unsigned levels) {
  const unsigned unused = 64 - shift_of(levels + 1);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(address << unused) >> unused);
}

} // namespace

std::optional<Gpa> PageTables::translate(std::uint64_t address) const {
  const PagingMode mode = levels_ == kLevelsWithLa57 ? PagingMode::level5 : PagingMode::level4;
  const auto mapped = x86_64::translate({.mode = mode, .root = root_, .no_execute = true}, address, read_);
  return mapped ? std::optional{mapped->gpa} : std::nullopt;
}

std::optional<std::uint64_t> PageTables::first_mapped(std::uint64_t from_index) const {
  Gpa table = root_;
  std::uint64_t address = 0;
  for (unsigned level = levels_; level >= kGiantLevel; --level) {
    std::uint64_t index = level == levels_ ? from_index : 0;
    std::uint64_t entry = 0;
    for (; index < kEntries; ++index) {
      entry = read_(table + index * sizeof entry).value_or(0);
      if ((entry & kPresent) != 0) {
        break;
      }
    }
    if (index == kEntries) {
      return std::nullopt;
    }
    address |= index << shift_of(level);
    if ((entry & kLarge) != 0) {
      break;
    }
    table = Gpa{entry & kAddress};
  }
  return canonical(address, levels_);
}

std::optional<Gpa> PageTables::top_entry(std::uint64_t index) const {
  const auto entry = read_(root_ + index * sizeof(std::uint64_t));
  return entry && (*entry & kPresent) != 0 ? std::optional{Gpa{*entry & kAddress}} : std::nullopt;
}

} // namespace vmemfs::x86_64
