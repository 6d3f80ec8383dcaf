// SPDX-License-Identifier: MIT
// One bit for each page, with the number of set bits before any of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmemfs {

class PageBitmap {
public:
  /// The lowest bit of a byte is the first; bits from `size` on are ignored. `bits` has enough bytes.
  PageBitmap(std::span<const std::byte> bits, std::uint64_t size);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] bool test(std::uint64_t page) const {
    return page < size_ && (words_[static_cast<std::size_t>(page / 64)] >> (page % 64) & 1U) != 0;
  }
  /// Set bits before `page`, which is not beyond size().
  [[nodiscard]] std::uint64_t count_before(std::uint64_t page) const;
  /// The first page from `page` on whose bit is `value`; size() if there is none.
  [[nodiscard]] std::uint64_t next(std::uint64_t page, bool value) const;

private:
  std::vector<std::uint64_t> words_;
  std::vector<std::uint64_t> before_; ///< set bits before each group of words
  std::uint64_t size_;
  std::uint64_t count_ = 0;
};

} // namespace vmemfs
