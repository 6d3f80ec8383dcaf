// SPDX-License-Identifier: MIT
// Hash table from pages to frames of a shard, read without a lock.
#pragma once

#include "core/gpa.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace vmemfs {

/// Refers to frames by number. One thread at a time may change it. Concurrent readers may miss an entry
/// that is being moved, or get a frame that has been reused meanwhile.
class PageIndex {
public:
  static constexpr std::uint32_t kMaxFrames = 1024; ///< half of the slots

  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  /// The first frame that may hold the page and for which is_it(number) is true, or kNone.
  template <typename IsIt> [[nodiscard]] std::uint32_t find(Gfn gfn, const IsIt& is_it) const {
    const std::uint32_t tag = tag_of(gfn);
    std::size_t place = home_of(tag);
    for (std::size_t seen = 0; seen < kPlaces; ++seen) {
      const std::uint32_t entry = places_[place].load(std::memory_order_relaxed);
      if (entry == 0) {
        return kNone;
      }
      if (entry >> kNumberBits == tag && is_it(number_of(entry))) {
        return number_of(entry);
      }
      place = (place + 1) % kPlaces;
    }
    return kNone;
  }

  /// The page must not be in it, and fewer than kMaxFrames others.
  void insert(Gfn gfn, std::uint32_t number) {
    const std::uint32_t tag = tag_of(gfn);
    std::size_t place = home_of(tag);
    while (places_[place].load(std::memory_order_relaxed) != 0) {
      place = (place + 1) % kPlaces;
    }
    places_[place].store(tag << kNumberBits | (number + 1), std::memory_order_relaxed);
  }

  /// The page must be in it, under this number.
  void erase(Gfn gfn, std::uint32_t number) {
    const std::uint32_t wanted = tag_of(gfn) << kNumberBits | (number + 1);
    std::size_t gap = home_of(tag_of(gfn));
    while (places_[gap].load(std::memory_order_relaxed) != wanted) {
      gap = (gap + 1) % kPlaces;
    }
    // Entries that follow without a gap move up, unless that would place them before their home.
    for (std::size_t next = (gap + 1) % kPlaces;; next = (next + 1) % kPlaces) {
      const std::uint32_t entry = places_[next].load(std::memory_order_relaxed);
      if (entry == 0) {
        break;
      }
      const std::size_t home = home_of(entry >> kNumberBits);
      if ((next - home) % kPlaces >= (next - gap) % kPlaces) {
        places_[gap].store(entry, std::memory_order_relaxed);
        gap = next;
      }
    }
    places_[gap].store(0, std::memory_order_relaxed);
  }

private:
  // An entry is 0 or a number + 1, below the highest bits of the page's hash, which also give its home.
  static constexpr unsigned kNumberBits = 11;
  static constexpr unsigned kTagBits = 32 - kNumberBits;
  static constexpr unsigned kPlaceBits = 11;
  static constexpr std::size_t kPlaces = std::size_t{1} << kPlaceBits;
  static_assert(kMaxFrames < (1U << kNumberBits) && kMaxFrames <= kPlaces / 2);

  static std::uint32_t tag_of(Gfn gfn) {
    constexpr std::uint64_t kGoldenRatio = 0x9E37'79B9'7F4A'7C15;
    return static_cast<std::uint32_t>(gfn.value() * kGoldenRatio >> (64 - kTagBits));
  }
  static std::size_t home_of(std::uint32_t tag) { return tag >> (kTagBits - kPlaceBits); }
  static std::uint32_t number_of(std::uint32_t entry) { return (entry & ((1U << kNumberBits) - 1)) - 1; }

  std::array<std::atomic<std::uint32_t>, kPlaces> places_{};
};

} // namespace vmemfs
