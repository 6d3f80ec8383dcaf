// SPDX-License-Identifier: MIT
#include "vm/views/shown_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <vector>

namespace vmemfs::test {
namespace {

using Owner = std::shared_ptr<const int>;
constexpr std::size_t kPage = ShownTexts::kLeastBytes;

TEST(ShownTexts, BeyondTheLimit_AreRefusedUntilOneIsClosed) {
  ShownTexts texts{10 * kPage};
  Owner first = std::make_shared<int>();
  const Owner second = std::make_shared<int>();
  const Owner third = std::make_shared<int>();
  ASSERT_TRUE(texts.add(first, 6 * kPage));
  ASSERT_TRUE(texts.add(second, 4 * kPage));
  const auto refused = texts.add(third, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::no_memory);
  EXPECT_THAT(refused.error().text, testing::HasSubstr("close some"));
  first.reset();
  EXPECT_EQ(texts.bytes(), 4 * kPage);
  EXPECT_TRUE(texts.add(third, 6 * kPage));
}

TEST(ShownTexts, OfOneOwner_CountOnce) {
  ShownTexts texts{10 * kPage};
  const Owner owner = std::make_shared<int>();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(texts.add(owner, 6 * kPage));
  }
  EXPECT_EQ(texts.bytes(), 6 * kPage);
}

TEST(ShownTexts, LongerThanTheLimit_IsRefused) {
  ShownTexts texts{10 * kPage};
  EXPECT_FALSE(texts.add(std::make_shared<int>(), 11 * kPage));
  EXPECT_FALSE(texts.add(std::make_shared<int>(), ~std::size_t{0}));
  EXPECT_EQ(texts.bytes(), 0U);
}

// `info` of a VM that a monitoring system reads each second.
TEST(ShownTexts, ClosedOnes_AreForgotten) {
  ShownTexts texts;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(texts.add(std::make_shared<int>(), 1));
  }
  EXPECT_EQ(texts.bytes(), 0U);
  EXPECT_LE(texts.remembered(), 64U);
}

TEST(ShownTexts, ShortOnes_AddUp) {
  ShownTexts texts{10 * kPage};
  std::vector<Owner> open;
  while (open.size() < 100) {
    open.push_back(std::make_shared<int>());
    if (!texts.add(open.back(), 1)) {
      break;
    }
  }
  EXPECT_EQ(open.size(), 11U);
}

} // namespace
} // namespace vmemfs::test
