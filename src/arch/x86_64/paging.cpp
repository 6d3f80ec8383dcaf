// SPDX-License-Identifier: MIT
#include "arch/x86_64/paging.h"

#include "arch/x86_64/paging_format.h"
#include "arch/x86_64/registers.h"

#include <algorithm>
#include <array>

namespace vmemfs::x86_64 {
namespace {

std::optional<std::uint64_t> read_entry(const Format& format, Gpa at, const ReadEntry& read) {
  if (format.entry_bytes == sizeof(std::uint64_t)) {
    return read(at);
  }
  const unsigned half = (at.value() & format.entry_bytes) != 0 ? 32 : 0;
  const auto both = read(Gpa{at.value() & ~std::uint64_t{7}});
  return both ? std::optional{(*both >> half) & low_bits(32)} : std::nullopt;
}

constexpr std::uint64_t kPcidEnable = bit(17);

/// Whether the registers have what only long mode allows. Firmware and early kernels have their descriptor
/// tables below 4 GiB, and code of the compatibility mode has the registers of a 32-bit system.
bool looks_like_long_mode(const RegisterSet& registers) {
  constexpr std::uint64_t kLongCode = bit(13); // L of SegmentPart::attributes
  constexpr std::array kWide{Register::rip, Register::rsp, Register::r8,       Register::r9,
                             Register::r10, Register::r11, Register::r12,      Register::r13,
                             Register::r14, Register::r15, Register::gdt_base, Register::idt_base};
  const auto value = [&](Register reg) { return registers.get(reg).value_or(0); };
  return (value(Register::cs_attributes) & kLongCode) != 0 || (value(Register::cr4) & kPcidEnable) != 0 ||
         std::ranges::any_of(kWide, [&](Register reg) { return value(reg) >= k4GiB; });
}

bool is_long_mode(const RegisterSet& registers) {
  constexpr std::uint64_t kLongModeEnable = bit(8);
  constexpr std::uint64_t kLongModeActive = bit(10);
  if (const auto efer = registers.get(Register::efer)) {
    return (*efer & (kLongModeEnable | kLongModeActive)) != 0;
  }
  return looks_like_long_mode(registers);
}

/// Whether all that is known of paging is the root of the tables.
bool has_root_only(const RegisterSet& registers) {
  const auto has = [&](Register reg) { return registers.get(reg).has_value(); };
  return has(Register::cr3) && !has(Register::cr0) && !has(Register::cr4);
}

} // namespace

bool can_have_paging(const RegisterSet& registers) {
  if (has_root_only(registers)) {
    return true;
  }
  const auto has = [&](Register reg) { return registers.get(reg).has_value(); };
  // A Xen PV domain, whose page tables have addresses of the host, has none of the last three.
  return has(Register::cr0) && has(Register::cr3) && has(Register::cr4) &&
         (has(Register::efer) || has(Register::idt_base) || has(Register::gdt_base));
}

std::optional<Paging> paging_of(const RegisterSet& registers) {
  constexpr std::uint64_t kPagingOn = bit(31);
  constexpr std::uint64_t kPageSizeExtension = bit(4);
  constexpr std::uint64_t kPhysicalAddressExtension = bit(5);
  constexpr std::uint64_t kLa57 = bit(12);
  constexpr std::uint64_t kNoExecuteEnable = bit(11);
  constexpr std::uint64_t kPaeRoot = 0xffff'ffe0;
  if (!can_have_paging(registers)) {
    return std::nullopt;
  }
  const auto cr0 = registers.get(Register::cr0);
  const auto cr3 = registers.get(Register::cr3);
  const auto cr4 = registers.get(Register::cr4);
  if (has_root_only(registers)) {
    return Paging{PagingMode::level4, Gpa{*cr3 & kAddress}, true, true};
  }
  if ((*cr0 & kPagingOn) == 0) {
    return Paging{};
  }
  if ((*cr4 & kPhysicalAddressExtension) == 0) {
    return Paging{PagingMode::bits32, Gpa{*cr3 & kAddress32}, (*cr4 & kPageSizeExtension) != 0, false};
  }
  // Without EFER all is taken as the newest systems have it.
  const bool no_execute = (registers.get(Register::efer).value_or(kNoExecuteEnable) & kNoExecuteEnable) != 0;
  if (!is_long_mode(registers)) {
    return Paging{PagingMode::pae, Gpa{*cr3 & kPaeRoot}, true, no_execute};
  }
  return Paging{(*cr4 & kLa57) != 0 ? PagingMode::level5 : PagingMode::level4, Gpa{*cr3 & kAddress}, true,
                no_execute};
}

std::optional<MappedAddress> translate(const Paging& paging, std::uint64_t address, const ReadEntry& read) {
  const Format format = format_of(paging.mode);
  if (format.canonical(address) != address) {
    return std::nullopt;
  }
  if (format.levels.empty()) {
    return MappedAddress{Gpa{address}, k4GiB - address, {}};
  }
  MappedAddress found{paging.root, 0, {}};
  for (const Level& level : format.levels) {
    const std::uint64_t index = (address >> level.shift) & low_bits(level.index_bits);
    const auto entry = read_entry(format, found.gpa + index * format.entry_bytes, read);
    const EntryKind kind = entry ? kind_of(paging, level, *entry) : EntryKind::absent;
    if (kind == EntryKind::absent) {
      return std::nullopt;
    }
    restrict_rights(found.rights, level, *entry);
    if (kind == EntryKind::page) {
      const std::uint64_t within = address & low_bits(level.shift);
      found.gpa = Gpa{format.target(*entry, level.shift) + within};
      found.left = bit(level.shift) - within;
      return found;
    }
    found.gpa = Gpa{format.target(*entry, kPageShift)};
  }
  return std::nullopt;
}

} // namespace vmemfs::x86_64
