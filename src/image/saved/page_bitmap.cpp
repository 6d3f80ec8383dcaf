// SPDX-License-Identifier: MIT
#include "image/saved/page_bitmap.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace vmemfs {
namespace {

constexpr std::size_t kGroup = 16; ///< words

std::uint64_t ones(std::uint64_t word) { return static_cast<std::uint64_t>(std::popcount(word)); }

} // namespace

PageBitmap::PageBitmap(std::span<const std::byte> bits, std::uint64_t size)
    : words_(static_cast<std::size_t>((size + 63) / 64)), size_{size} {
  if (words_.empty()) {
    return;
  }
  std::memcpy(words_.data(), bits.data(), std::min(bits.size(), words_.size() * sizeof(std::uint64_t)));
  if (size % 64 != 0) {
    words_.back() &= (std::uint64_t{1} << (size % 64)) - 1;
  }
  for (std::size_t i = 0; i < words_.size(); ++i) {
    if (i % kGroup == 0) {
      before_.push_back(count_);
    }
    count_ += ones(words_[i]);
  }
}

std::uint64_t PageBitmap::count_before(std::uint64_t page) const {
  if (page >= size_) {
    return count_;
  }
  const auto word = static_cast<std::size_t>(page / 64);
  std::uint64_t count = before_[word / kGroup];
  for (std::size_t i = word - word % kGroup; i < word; ++i) {
    count += ones(words_[i]);
  }
  return count + ones(words_[word] & ((std::uint64_t{1} << (page % 64)) - 1));
}

std::uint64_t PageBitmap::next(std::uint64_t page, bool value) const {
  while (page < size_) {
    std::uint64_t word = words_[static_cast<std::size_t>(page / 64)];
    word = (value ? word : ~word) >> (page % 64);
    if (word != 0) {
      return std::min(size_, page + static_cast<std::uint64_t>(std::countr_zero(word)));
    }
    page += 64 - page % 64;
  }
  return size_;
}

} // namespace vmemfs
