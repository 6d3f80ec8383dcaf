// SPDX-License-Identifier: MIT
#include "arch/aarch64/page_walk.h"

#include <algorithm>

namespace vmemfs::aarch64 {
namespace {

constexpr unsigned kEntryShift = 3; ///< an entry has 8 bytes
constexpr std::uint64_t kValid = 1;
constexpr std::uint64_t kTableOrPage = 2;

/// Low bits of TTBRn_EL1 that are not of an address.
constexpr std::uint64_t kRootAlignment = 63;

constexpr unsigned kShift4K = 12;
constexpr unsigned kShift16K = 14;
constexpr unsigned kShift64K = 16;

constexpr std::uint64_t low_bits(unsigned count) { return (std::uint64_t{1} << count) - 1; }

/// The levels of tables from the root down, each with the lowest bit of an address that it translates.
class Walk {
public:
  explicit Walk(const Paging& paging)
      : paging_{paging}, table_{paging.root.value() & ~kRootAlignment},
        shift_{paging.page_shift + (paging.levels() - 1) * index_bits()} {}

  /// Of the table that the walk is at; the root may have fewer than the others.
  [[nodiscard]] std::uint64_t entries() const {
    return std::uint64_t{1} << std::min(index_bits(), paging_.address_bits - shift_);
  }
  [[nodiscard]] std::uint64_t index_of(std::uint64_t address) const {
    return (address >> shift_) & (entries() - 1);
  }
  [[nodiscard]] std::uint64_t page_bytes() const { return std::uint64_t{1} << shift_; } ///< of an entry
  [[nodiscard]] std::optional<std::uint64_t> entry(std::uint64_t index, const ReadEntry& read) const {
    return read(table_ + (index << kEntryShift));
  }

  [[nodiscard]] bool is_page(std::uint64_t entry) const {
    if (is_last()) {
      return (entry & (kValid | kTableOrPage)) == (kValid | kTableOrPage);
    }
    return (entry & (kValid | kTableOrPage)) == kValid && shift_ <= largest_block_shift();
  }
  [[nodiscard]] bool is_table(std::uint64_t entry) const {
    return !is_last() && (entry & (kValid | kTableOrPage)) == (kValid | kTableOrPage);
  }

  /// Of the page or table that an entry points to.
  [[nodiscard]] Gpa target(std::uint64_t entry) const {
    const unsigned low = is_page(entry) ? shift_ : paging_.page_shift;
    return Gpa{physical(entry) & ~low_bits(low)};
  }
  void go_down(std::uint64_t entry) {
    table_ = target(entry);
    shift_ -= index_bits();
  }

private:
  [[nodiscard]] unsigned index_bits() const { return paging_.page_shift - kEntryShift; }
  [[nodiscard]] bool is_last() const { return shift_ == paging_.page_shift; }
  /// Descriptors have the bits of addresses above 2^48 in other places.
  [[nodiscard]] bool has_wide_entries() const {
    return paging_.page_shift != kShift64K && paging_.address_bits > 48;
  }

  /// The largest pages: without and with physical addresses of 52 bits. For 64 KiB nothing tells which, and
  /// the larger are taken.
  [[nodiscard]] unsigned largest_block_shift() const {
    constexpr unsigned k1GiB = 30;
    constexpr unsigned k32MiB = 25;
    constexpr unsigned k512GiB = 39;
    constexpr unsigned k64GiB = 36;
    constexpr unsigned k4TiB = 42;
    switch (paging_.page_shift) {
    case kShift4K: return has_wide_entries() ? k512GiB : k1GiB;
    case kShift16K: return has_wide_entries() ? k64GiB : k32MiB;
    default: return k4TiB;
    }
  }

  [[nodiscard]] std::uint64_t physical(std::uint64_t entry) const {
    constexpr unsigned kHigh = 48;
    constexpr unsigned kHighWide = 50;
    if (has_wide_entries()) { // bits 8 and 9 are bits 50 and 51
      return (entry & low_bits(kHighWide)) | ((entry >> 8U) & 3U) << kHighWide;
    }
    if (paging_.page_shift == kShift64K) { // bits 12 to 15 are bits 48 to 51
      return (entry & low_bits(kHigh)) | ((entry >> 12U) & 15U) << kHigh;
    }
    return entry & low_bits(kHigh);
  }

  const Paging& paging_;
  Gpa table_;
  unsigned shift_;
};

std::uint64_t high_bits(const Paging& paging) {
  return paging.upper ? ~low_bits(paging.address_bits) : std::uint64_t{0};
}

} // namespace

bool Paging::is_valid() const {
  return (page_shift == kShift4K || page_shift == kShift16K || page_shift == kShift64K) &&
         address_bits >= kMinAddressBits && address_bits <= kMaxAddressBits;
}

unsigned Paging::levels() const {
  const unsigned index_bits = page_shift - kEntryShift;
  return (address_bits - page_shift + index_bits - 1) / index_bits;
}

std::optional<MappedAddress> translate(const Paging& paging, std::uint64_t address, const ReadEntry& read) {
  if (!paging.is_valid() || (address & ~low_bits(paging.address_bits)) != high_bits(paging)) {
    return std::nullopt;
  }
  for (Walk walk{paging};;) {
    const auto entry = walk.entry(walk.index_of(address), read);
    if (entry && walk.is_page(*entry)) {
      const std::uint64_t within = address & (walk.page_bytes() - 1);
      return MappedAddress{address, walk.target(*entry) + within, walk.page_bytes() - within};
    }
    if (!entry || !walk.is_table(*entry)) {
      return std::nullopt;
    }
    walk.go_down(*entry);
  }
}

std::optional<MappedAddress> first_mapped(const Paging& paging, const ReadEntry& read) {
  if (!paging.is_valid()) {
    return std::nullopt;
  }
  std::uint64_t address = high_bits(paging);
  for (Walk walk{paging};;) {
    std::uint64_t index = 0;
    std::uint64_t entry = 0;
    for (; index < walk.entries(); ++index) {
      entry = walk.entry(index, read).value_or(0);
      if (walk.is_page(entry) || walk.is_table(entry)) {
        break;
      }
    }
    if (index == walk.entries()) {
      return std::nullopt;
    }
    address |= index * walk.page_bytes();
    if (walk.is_page(entry)) {
      return MappedAddress{address, walk.target(entry), walk.page_bytes()};
    }
    walk.go_down(entry);
  }
}

} // namespace vmemfs::aarch64
