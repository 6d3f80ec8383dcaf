// SPDX-License-Identifier: MIT
// Pages that are read again and again: those that are worth to be mapped.
#pragma once

#include "core/gpa.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vmemfs::kvmi {

/// Thread-safe, without a lock. Remembers the last page of each of kMaxRemembered places, so it may forget a
/// page, and takes a fixed amount of memory.
class HotPages {
public:
  static constexpr std::size_t kMaxRemembered = 4096;

  /// True if the page has been read lately, and was not refused.
  [[nodiscard]] bool read_again(Gpa page) {
    auto& place = place_of(page);
    const auto value = place.load(std::memory_order_relaxed);
    if ((value & ~kRefused) != entry_of(page)) {
      place.store(entry_of(page), std::memory_order_relaxed);
      return false;
    }
    return (value & kRefused) == 0;
  }
  /// It cannot be mapped; holds until the page is forgotten.
  void refuse(Gpa page) { place_of(page).store(entry_of(page) | kRefused, std::memory_order_relaxed); }
  void forget_all() {
    for (auto& place : places_) {
      place.store(0, std::memory_order_relaxed);
    }
  }

private:
  static constexpr std::uint64_t kRefused = 1;
  static constexpr std::uint64_t kUsed = 2; ///< so that page 0 differs from an empty place

  [[nodiscard]] static std::uint64_t entry_of(Gpa page) { return page.page_start().value() | kUsed; }
  [[nodiscard]] std::atomic<std::uint64_t>& place_of(Gpa page) {
    return places_[(page.value() / kPageSize) % kMaxRemembered];
  }

  std::array<std::atomic<std::uint64_t>, kMaxRemembered> places_{};
};

} // namespace vmemfs::kvmi
