// SPDX-License-Identifier: MIT
#include "arch/x86_64/paging.h"

#include "arch/x86_64/registers.h"

#include <array>
#include <span>

namespace vmemfs::x86_64 {
namespace {

constexpr std::uint64_t bit(unsigned number) { return std::uint64_t{1} << number; }
constexpr std::uint64_t low_bits(unsigned count) { return bit(count) - 1; }

// Of entries.
constexpr std::uint64_t kPresent = bit(0);
constexpr std::uint64_t kWritable = bit(1);
constexpr std::uint64_t kUser = bit(2);
constexpr std::uint64_t kLarge = bit(7);
constexpr std::uint64_t kNoExecute = bit(63);
constexpr std::uint64_t kAddress = 0x000f'ffff'ffff'f000;
constexpr std::uint64_t kAddress32 = 0xffff'f000;

constexpr std::uint64_t k4GiB = bit(32);

enum class LargePages : std::uint8_t { none, always, if_enabled };

/// One level of tables.
struct Level {
  unsigned shift; ///< lowest bit of an address that its tables translate
  unsigned index_bits;
  LargePages large;
  bool has_rights = true;
};

struct Format {
  unsigned entry_bytes;
  unsigned address_bits; ///< that are translated
  std::span<const Level> levels;
};

constexpr std::array kLevels64{Level{48, 9, LargePages::none}, Level{39, 9, LargePages::none},
                               Level{30, 9, LargePages::always}, Level{21, 9, LargePages::always},
                               Level{12, 9, LargePages::none}};
constexpr std::array kLevelsPae{Level{30, 2, LargePages::none, false}, Level{21, 9, LargePages::always},
                                Level{12, 9, LargePages::none}};
constexpr std::array kLevels32{Level{22, 10, LargePages::if_enabled}, Level{12, 10, LargePages::none}};

Format format_of(PagingMode mode) {
  switch (mode) {
  case PagingMode::none: return {0, 32, {}};
  case PagingMode::bits32: return {4, 32, kLevels32};
  case PagingMode::pae: return {8, 32, kLevelsPae};
  case PagingMode::level4: return {8, 48, std::span{kLevels64}.subspan(1)};
  case PagingMode::level5: return {8, 57, kLevels64};
  }
  return {0, 0, {}};
}

/// Whether the bits above the translated ones are what the CPU demands: 0, or in 64-bit modes copies of the
/// highest of them.
bool is_valid(const Format& format, std::uint64_t address) {
  if (format.address_bits == 32) {
    return address < k4GiB;
  }
  const unsigned unused = 64 - format.address_bits;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(address << unused) >> unused) == address;
}

std::optional<std::uint64_t> read_entry(const Format& format, Gpa at, const ReadEntry& read) {
  if (format.entry_bytes == sizeof(std::uint64_t)) {
    return read(at);
  }
  const unsigned half = (at.value() & format.entry_bytes) != 0 ? 32 : 0;
  const auto both = read(Gpa{at.value() & ~std::uint64_t{7}});
  return both ? std::optional{(*both >> half) & low_bits(32)} : std::nullopt;
}

/// Of a page of `1 << shift` bytes.
std::uint64_t page_address(const Format& format, std::uint64_t entry, unsigned shift) {
  if (format.entry_bytes == sizeof(std::uint64_t)) {
    return entry & kAddress & ~low_bits(shift);
  }
  std::uint64_t address = entry & kAddress32 & ~low_bits(shift);
  if (shift > kPageShift) { // PSE-36: bits 13 to 20 are bits 32 to 39 of the address
    address |= ((entry >> 13U) & low_bits(8)) << 32U;
  }
  return address;
}

void restrict_rights(PageRights& rights, const Paging& paging, std::uint64_t entry) {
  rights.write = rights.write && (entry & kWritable) != 0;
  rights.user = rights.user && (entry & kUser) != 0;
  rights.execute = rights.execute && !(paging.no_execute && (entry & kNoExecute) != 0);
}

/// A 64-bit system has its descriptor tables, which are needed at each interrupt, in its upper half.
std::optional<bool> is_long_mode(const RegisterSet& registers) {
  constexpr std::uint64_t kLongModeEnable = bit(8);
  constexpr std::uint64_t kLongModeActive = bit(10);
  if (const auto efer = registers.get(Register::efer)) {
    return (*efer & (kLongModeEnable | kLongModeActive)) != 0;
  }
  const auto idt = registers.get(Register::idt_base);
  const auto gdt = registers.get(Register::gdt_base);
  if (!idt && !gdt) { // such as of a Xen PV domain, whose page tables have addresses of the host
    return std::nullopt;
  }
  return idt.value_or(0) >= k4GiB || gdt.value_or(0) >= k4GiB;
}

} // namespace

std::optional<Paging> paging_of(const RegisterSet& registers) {
  constexpr std::uint64_t kPagingOn = bit(31);
  constexpr std::uint64_t kPageSizeExtension = bit(4);
  constexpr std::uint64_t kPhysicalAddressExtension = bit(5);
  constexpr std::uint64_t kLa57 = bit(12);
  constexpr std::uint64_t kNoExecuteEnable = bit(11);
  constexpr std::uint64_t kPaeRoot = 0xffff'ffe0;
  const auto cr0 = registers.get(Register::cr0);
  const auto cr3 = registers.get(Register::cr3);
  const auto cr4 = registers.get(Register::cr4);
  const auto long_mode = is_long_mode(registers);
  if (!cr0 || !cr3 || !cr4 || !long_mode) {
    return std::nullopt;
  }
  if ((*cr0 & kPagingOn) == 0) {
    return Paging{};
  }
  if ((*cr4 & kPhysicalAddressExtension) == 0) {
    return Paging{PagingMode::bits32, Gpa{*cr3 & kAddress32}, (*cr4 & kPageSizeExtension) != 0, false};
  }
  // Without EFER all is taken as the newest systems have it.
  const bool no_execute = (registers.get(Register::efer).value_or(kNoExecuteEnable) & kNoExecuteEnable) != 0;
  if (!*long_mode) {
    return Paging{PagingMode::pae, Gpa{*cr3 & kPaeRoot}, true, no_execute};
  }
  return Paging{(*cr4 & kLa57) != 0 ? PagingMode::level5 : PagingMode::level4, Gpa{*cr3 & kAddress}, true,
                no_execute};
}

std::optional<MappedAddress> translate(const Paging& paging, std::uint64_t address, const ReadEntry& read) {
  const Format format = format_of(paging.mode);
  if (!is_valid(format, address)) {
    return std::nullopt;
  }
  if (format.levels.empty()) {
    return MappedAddress{Gpa{address}, k4GiB - address, {}};
  }
  MappedAddress found{paging.root, 0, {}};
  for (const Level& level : format.levels) {
    const std::uint64_t index = (address >> level.shift) & low_bits(level.index_bits);
    const auto entry = read_entry(format, found.gpa + index * format.entry_bytes, read);
    if (!entry || (*entry & kPresent) == 0) {
      return std::nullopt;
    }
    if (level.has_rights) {
      restrict_rights(found.rights, paging, *entry);
    }
    const bool is_last = level.shift == kPageShift;
    const bool is_large = !is_last && (*entry & kLarge) != 0;
    if (is_large && level.large == LargePages::none) {
      return std::nullopt;
    }
    if (is_last || (is_large && (level.large == LargePages::always || paging.large_pages))) {
      const std::uint64_t within = address & low_bits(level.shift);
      found.gpa = Gpa{page_address(format, *entry, level.shift) + within};
      found.left = bit(level.shift) - within;
      return found;
    }
    found.gpa = Gpa{page_address(format, *entry, kPageShift)};
  }
  return std::nullopt;
}

} // namespace vmemfs::x86_64
