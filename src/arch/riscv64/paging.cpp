// SPDX-License-Identifier: MIT
#include "arch/riscv64/paging.h"

#include "arch/riscv64/registers.h"

#include <array>

namespace vmemfs::riscv64 {
namespace {

constexpr std::uint64_t bit(unsigned number) { return std::uint64_t{1} << number; }
constexpr std::uint64_t low_bits(unsigned count) { return bit(count) - 1; }
constexpr std::uint64_t bits(unsigned first, unsigned last) { return low_bits(last + 1) & ~low_bits(first); }

constexpr unsigned kIndexBits = 9;
constexpr unsigned kPhysicalBits = 56;

// Of an entry.
constexpr std::uint64_t kValid = bit(0);
constexpr std::uint64_t kRead = bit(1);
constexpr std::uint64_t kWrite = bit(2);
constexpr std::uint64_t kExecute = bit(3);
constexpr std::uint64_t kUser = bit(4);
constexpr std::uint64_t kUsed = bits(6, 7);       ///< A and D
constexpr std::uint64_t kReserved = bits(54, 60); ///< of each entry
constexpr std::uint64_t kMemoryType = bits(61, 62);
constexpr std::uint64_t kContiguous = bit(63); ///< Svnapot: one of 16 entries of a page of 64 KiB
constexpr unsigned kFrameShift = 10;
constexpr unsigned kFrameBits = 44;
constexpr std::uint64_t kContiguousFrames = 16;

unsigned levels_of(PagingMode mode) {
  switch (mode) {
  case PagingMode::none: return 0;
  case PagingMode::sv39: return 3;
  case PagingMode::sv48: return 4;
  case PagingMode::sv57: return 5;
  }
  return 0;
}

class Format final : public PageTableFormat {
public:
  explicit Format(PagingMode mode) : levels_{levels_of(mode)} {}

  unsigned entry_bytes() const override { return sizeof(std::uint64_t); }
  unsigned levels() const override { return levels_; }
  TableLevel level(unsigned depth) const override {
    return {kPageShift + (levels_ - 1 - depth) * kIndexBits, kIndexBits};
  }
  std::uint64_t canonical(std::uint64_t address) const override {
    const unsigned unused = 64 - kPageShift - levels_ * kIndexBits;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(address << unused) >> unused);
  }

  EntryKind kind_of(unsigned depth, std::uint64_t entry) const override {
    const bool is_writable_only = (entry & (kWrite | kRead)) == kWrite;
    if ((entry & kValid) == 0 || (entry & kReserved) != 0 || is_writable_only) {
      return EntryKind::absent;
    }
    const bool is_last = depth + 1 == levels_;
    if ((entry & (kRead | kExecute)) == 0) {
      const bool is_reserved = (entry & (kUser | kUsed | kMemoryType | kContiguous)) != 0;
      return is_last || is_reserved ? EntryKind::absent : EntryKind::table;
    }
    if ((entry & kMemoryType) == kMemoryType) {
      return EntryKind::absent;
    }
    if ((entry & kContiguous) != 0) {
      const bool is_64k = frame(entry) % kContiguousFrames == kContiguousFrames / 2;
      return is_last && is_64k ? EntryKind::page : EntryKind::absent;
    }
    const bool is_aligned = (frame(entry) << kPageShift & low_bits(level(depth).shift)) == 0;
    return is_aligned ? EntryKind::page : EntryKind::absent;
  }

  Gpa target(unsigned /*depth*/, std::uint64_t entry, std::uint64_t index) const override {
    const std::uint64_t number = (entry & kContiguous) != 0
                                     ? frame(entry) - kContiguousFrames / 2 + index % kContiguousFrames
                                     : frame(entry);
    return Gpa{number << kPageShift};
  }

  void restrict_rights(PageRights& rights, unsigned /*depth*/, std::uint64_t entry) const override {
    if ((entry & (kRead | kExecute)) == 0) { // a table: only pages have rights
      return;
    }
    rights = {.write = (entry & kWrite) != 0,
              .user = (entry & kUser) != 0,
              .execute = (entry & kExecute) != 0,
              .read = (entry & kRead) != 0};
  }

private:
  static std::uint64_t frame(std::uint64_t entry) { return entry >> kFrameShift & low_bits(kFrameBits); }

  const unsigned levels_;
};

} // namespace

bool can_have_paging(const RegisterSet& registers) { return registers.get(Register::satp).has_value(); }

std::optional<Paging> paging_of(const RegisterSet& registers) {
  constexpr std::uint64_t kMachineMode = 3;
  constexpr std::uint64_t kVirtualized = 4;
  constexpr unsigned kModeShift = 60;
  enum SatpMode : std::uint8_t { bare = 0, sv39 = 8, sv48 = 9, sv57 = 10 };
  const auto satp = registers.get(Register::satp);
  const auto privilege = registers.get(Register::priv);
  if (!satp || (privilege.value_or(0) & kVirtualized) != 0) {
    return std::nullopt;
  }
  if (privilege == kMachineMode) {
    return Paging{};
  }
  const Gpa root{(*satp & low_bits(kFrameBits)) << kPageShift};
  switch (*satp >> kModeShift) {
  case bare: return Paging{};
  case sv39: return Paging{PagingMode::sv39, root};
  case sv48: return Paging{PagingMode::sv48, root};
  case sv57: return Paging{PagingMode::sv57, root};
  default: return std::nullopt;
  }
}

std::optional<MappedAddress> translate(const Paging& paging, std::uint64_t address, const ReadEntry& read) {
  if (paging.mode == PagingMode::none) {
    return address < bit(kPhysicalBits)
               ? std::optional{MappedAddress{Gpa{address}, bit(kPhysicalBits) - address, {}}}
               : std::nullopt;
  }
  const Format format{paging.mode};
  if (format.canonical(address) != address) {
    return std::nullopt;
  }
  Gpa table = paging.root;
  for (unsigned depth = 0; depth < format.levels(); ++depth) {
    const unsigned shift = format.level(depth).shift;
    const std::uint64_t index = (address >> shift) & low_bits(kIndexBits);
    const auto entry = read(table + index * sizeof(std::uint64_t));
    const EntryKind kind = entry ? format.kind_of(depth, *entry) : EntryKind::absent;
    if (kind == EntryKind::absent) {
      return std::nullopt;
    }
    table = format.target(depth, *entry, index);
    if (kind == EntryKind::page) {
      MappedAddress found{table + (address & low_bits(shift)), bit(shift) - (address & low_bits(shift)), {}};
      format.restrict_rights(found.rights, depth, *entry);
      return found;
    }
  }
  return std::nullopt;
}

std::vector<MappedRange> list_mapped(const Paging& paging, const ReadTable& read, const ListLimits& limits) {
  if (paging.mode == PagingMode::none) {
    return {{0, bit(kPhysicalBits) - 1, true, {}, Gpa{0}}};
  }
  return vmemfs::list_mapped(Format{paging.mode}, paging.root, read, limits);
}

} // namespace vmemfs::riscv64
