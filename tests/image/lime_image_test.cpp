// SPDX-License-Identifier: MIT
#include "image_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kFirst = lime_range({0x1000, std::string(0x2000, 'a')});
const std::string kSecond = lime_range({0x100000, std::string(0x1001, 'b')});

TEST(LimeImage, Ranges_AreFoundByContent) {
  const auto image = open_bytes(kFirst + kSecond);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->description, "LiME image");
  EXPECT_THAT(image->extents,
              ElementsAre(stored(0x1000, 0x3000, 32), stored(0x100000, 0x101001, 0x2000 + 64)));
  EXPECT_EQ(image->first_missing, std::nullopt);
  EXPECT_EQ(image->problem, "");
}

TEST(LimeImage, CutAnywhere_GivesWhatIsThere) {
  const std::string whole = kFirst + kSecond;
  for (std::size_t size = 33; size < whole.size(); size += size < 100 ? 1 : 61) {
    const auto image = open_bytes(std::string_view{whole}.substr(0, size));
    ASSERT_TRUE(image) << size;
    if (size < kFirst.size()) {
      EXPECT_EQ(image->first_missing, Gpa{0x1000 + size - 32}) << size;
    } else if (size < kFirst.size() + 32) {
      EXPECT_EQ(image->problem.empty(), size == kFirst.size()) << size;
    } else {
      EXPECT_EQ(image->first_missing, Gpa{0x100000 + size - kFirst.size() - 32}) << size;
    }
  }
}

TEST(LimeImage, CutInFirstHeader_IsRefused) {
  for (std::size_t size = 4; size < 32; ++size) {
    const auto image = open_bytes(std::string_view{kFirst}.substr(0, size));
    ASSERT_FALSE(image) << size;
    EXPECT_THAT(image.error().text, HasSubstr("no LiME header at offset 0x0"));
  }
}

TEST(LimeImage, GarbageBetweenRanges_IsReported) {
  const auto image = open_bytes(kFirst + "garbage" + kSecond);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->extents.size(), 1U);
  EXPECT_THAT(image->problem, HasSubstr("offset 0x2020"));
}

TEST(LimeImage, RangeOfAllAddresses_IsRefused) {
  const std::string all =
      number(0x4c694d45, 4) + number(1, 4) + number(0, 8) + std::string(8, '\xff') + number(0, 8);
  EXPECT_FALSE(open_bytes(all + "data"));
}

TEST(LimeImage, FormatRaw_TakesAnyFile) {
  const auto image = open_bytes(kFirst, "raw");
  ASSERT_TRUE(image);
  EXPECT_THAT(image->extents, ElementsAre(stored(0, kFirst.size(), 0)));
}

TEST(SavedImage, UnknownContent_IsRaw) {
  const auto image = open_bytes("E");
  ASSERT_TRUE(image);
  EXPECT_EQ(image->description, "raw image");
}

TEST(SavedImage, OtherFormatThanNamed_IsRefused) {
  const auto image = open_bytes("nothing known", "lime");
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().text, HasSubstr("does not begin as format=lime does"));
}

} // namespace
} // namespace vmemfs::test
