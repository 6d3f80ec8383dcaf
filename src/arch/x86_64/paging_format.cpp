// SPDX-License-Identifier: MIT
#include "arch/x86_64/paging_format.h"

#include <array>

namespace vmemfs::x86_64 {
namespace {

constexpr std::uint64_t kWritable = bit(1);
constexpr std::uint64_t kUser = bit(2);
constexpr std::uint64_t kNoExecute = bit(63);

constexpr std::uint64_t bits(unsigned first, unsigned last) { return low_bits(last + 1) & ~low_bits(first); }

// Bit 12 of a large page is PAT.
constexpr std::uint64_t kReservedOf1GiB = bits(13, 29);
constexpr std::uint64_t kReservedOf2MiB = bits(13, 20);
constexpr std::uint64_t kReservedOf4MiB = bit(21); // the others are of the address, by PSE-36
constexpr std::uint64_t kReservedOfPae = bits(52, 62);
constexpr std::uint64_t kReservedOfPaeTop = kReservedOfPae | kNoExecute | bits(1, 2) | bits(5, 8);

constexpr std::array kLevels64{Level{48, 9, LargePages::none}, Level{39, 9, LargePages::none},
                               Level{30, 9, LargePages::always, 0, kReservedOf1GiB},
                               Level{21, 9, LargePages::always, 0, kReservedOf2MiB},
                               Level{12, 9, LargePages::none}};
constexpr std::array kLevelsPae{Level{30, 2, LargePages::none, kReservedOfPaeTop, 0, false},
                                Level{21, 9, LargePages::always, kReservedOfPae, kReservedOf2MiB},
                                Level{12, 9, LargePages::none, kReservedOfPae}};
constexpr std::array kLevels32{Level{22, 10, LargePages::if_enabled, 0, kReservedOf4MiB},
                               Level{12, 10, LargePages::none}};

} // namespace

std::uint64_t Format::canonical(std::uint64_t address) const {
  if (!is_64bit()) {
    return address & low_bits(address_bits);
  }
  const unsigned unused = 64 - address_bits;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(address << unused) >> unused);
}

std::uint64_t Format::target(std::uint64_t entry, unsigned shift) const {
  if (entry_bytes == sizeof(std::uint64_t)) {
    return entry & kAddress & ~low_bits(shift);
  }
  std::uint64_t address = entry & kAddress32 & ~low_bits(shift);
  if (shift > kPageShift) { // PSE-36: bits 13 to 20 are bits 32 to 39 of the address
    address |= ((entry >> 13U) & low_bits(8)) << 32U;
  }
  return address;
}

Format format_of(PagingMode mode) {
  switch (mode) {
  case PagingMode::none: return {0, 32, {}};
  case PagingMode::bits32: return {4, 32, kLevels32};
  case PagingMode::pae: return {8, 32, kLevelsPae};
  case PagingMode::level4: return {8, 48, std::span{kLevels64}.subspan(1)};
  case PagingMode::level5: return {8, 57, kLevels64};
  }
  return {0, 32, {}};
}

EntryKind kind_of(const Paging& paging, const Level& level, std::uint64_t entry) {
  const bool has_no_execute = (entry & kNoExecute) != 0; // never of an entry of 4 bytes
  if ((entry & kPresent) == 0 || (entry & level.reserved) != 0 || (has_no_execute && !paging.no_execute)) {
    return EntryKind::absent;
  }
  if (level.is_last()) {
    return EntryKind::page;
  }
  if ((entry & kLarge) == 0 || (level.large == LargePages::if_enabled && !paging.large_pages)) {
    return EntryKind::table;
  }
  if (level.large == LargePages::none) { // the bit is reserved
    return EntryKind::absent;
  }
  return (entry & level.reserved_of_large) != 0 ? EntryKind::absent : EntryKind::page;
}

void restrict_rights(PageRights& rights, const Level& level, std::uint64_t entry) {
  if (!level.has_rights) {
    return;
  }
  rights.write = rights.write && (entry & kWritable) != 0;
  rights.user = rights.user && (entry & kUser) != 0;
  rights.execute = rights.execute && (entry & kNoExecute) == 0;
}

} // namespace vmemfs::x86_64
