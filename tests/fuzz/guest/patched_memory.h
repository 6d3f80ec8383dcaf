// SPDX-License-Identifier: MIT
// Changes to a made kernel: an input for fuzzers of what reads lists, of which random memory has none.
//
// A change has 6 bytes: a page; an offset in it (two); a byte that says what is done and when; a number
// (two).
#pragma once

#include "linux/made_memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace vmemfs::fuzz {

/// Makes the changes: at once, or before the n-th read. Not thread-safe.
class PatchedMemory {
public:
  /// `pages`: addresses of pages that the kernel has. All that is given outlives the object.
  PatchedMemory(MadeMemory& memory, std::span<const std::uint64_t> pages, std::string_view changes)
      : memory_{memory}, pages_{pages}, changes_{changes.substr(0, kMaxChanges * kChangeBytes)} {
    apply();
    memory.before_read = [this](std::uint64_t /*address*/) {
      ++reads_;
      if (reads_ <= kMaxAt) {
        apply();
      }
    };
  }

  [[nodiscard]] std::size_t reads() const { return reads_; }

private:
  static constexpr std::size_t kChangeBytes = 6;
  static constexpr std::size_t kMaxChanges = 64;
  static constexpr std::size_t kMaxAt = 63;

  /// The current ones.
  void apply() {
    for (std::size_t at = 0; at + kChangeBytes <= changes_.size(); at += kChangeBytes) {
      const std::string_view change = changes_.substr(at, kChangeBytes);
      if (byte(change, 3) / 4 == reads_) {
        apply(page(byte(change, 0)), change);
      }
    }
  }
  void apply(std::uint64_t on, std::string_view change) {
    const std::uint64_t address = on + number(change, 1) % MadeMemory::kPageBytes;
    const std::uint32_t value = number(change, 4);
    switch (byte(change, 3) % 4) {
    case 0: memory_.write(address, static_cast<std::uint8_t>(value)); break;
    case 1: memory_.write(address, value * 0x101U); break;
    case 2: memory_.write(address, page(value >> 8U) + value % 256 * 16); break;
    default: memory_.unmap(address); break;
    }
  }
  [[nodiscard]] std::uint64_t page(std::size_t index) const { return pages_[index % pages_.size()]; }
  static std::uint32_t byte(std::string_view change, std::size_t index) {
    return static_cast<unsigned char>(change[index]);
  }
  static std::uint32_t number(std::string_view change, std::size_t index) {
    return byte(change, index) | byte(change, index + 1) << 8U;
  }

  MadeMemory& memory_;
  const std::span<const std::uint64_t> pages_;
  const std::string_view changes_;
  std::size_t reads_ = 0;
};

/// Whether it is lines of printable characters and tabs.
inline bool is_text(std::string_view text) {
  return (text.empty() || text.ends_with('\n')) &&
         std::ranges::all_of(text, [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\t'; });
}

} // namespace vmemfs::fuzz
