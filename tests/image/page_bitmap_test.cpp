// SPDX-License-Identifier: MIT
#include "image/saved/page_bitmap.h"

#include <gtest/gtest.h>
#include <random>

namespace vmemfs::test {
namespace {

TEST(PageBitmap, CountsAndRuns_AreThoseOfSingleBits) {
  std::mt19937 random{7};
  std::vector<std::byte> bits(1000);
  for (std::byte& byte : bits) {
    byte = static_cast<std::byte>(random() & random());
  }
  constexpr std::uint64_t kSize = 7999; // one bit is not part of it
  const PageBitmap pages{bits, kSize};
  std::uint64_t before = 0;
  for (std::uint64_t page = 0; page < kSize; ++page) {
    const bool set = (std::to_integer<unsigned>(bits[page / 8]) >> (page % 8) & 1U) != 0;
    ASSERT_EQ(pages.test(page), set) << page;
    ASSERT_EQ(pages.count_before(page), before) << page;
    ASSERT_EQ(pages.next(page, set), page);
    before += set ? 1 : 0;
  }
  EXPECT_EQ(pages.count(), before);
  EXPECT_FALSE(pages.test(kSize));
  EXPECT_EQ(pages.next(kSize, true), kSize);
}

TEST(PageBitmap, WithoutPages_IsEmpty) {
  const PageBitmap pages{{}, 0};
  EXPECT_EQ(pages.count(), 0U);
  EXPECT_EQ(pages.next(0, true), 0U);
  EXPECT_EQ(pages.count_before(0), 0U);
}

} // namespace
} // namespace vmemfs::test
