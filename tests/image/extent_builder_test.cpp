// SPDX-License-Identifier: MIT
#include "image/saved/extent_builder.h"
#include "image_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;

TEST(ExtentBuilder, OverlappingRanges_FirstOneCounts) {
  ExtentBuilder extents{1 << 20};
  ASSERT_TRUE(extents.add(0x3000, 0x1000, ExtentKind::stored, 0x100));
  ASSERT_TRUE(extents.add(0x1000, 0x1000, ExtentKind::stored, 0x9000));
  ASSERT_TRUE(extents.add(0x0, 0x6000, ExtentKind::stored, 0x20000));
  EXPECT_THAT(extents.take().all, ElementsAre(stored(0, 0x1000, 0x20000), stored(0x1000, 0x2000, 0x9000),
                                              stored(0x2000, 0x3000, 0x22000), stored(0x3000, 0x4000, 0x100),
                                              stored(0x4000, 0x6000, 0x24000)));
}

TEST(ExtentBuilder, SameRangeTwice_IsOne) {
  ExtentBuilder extents{1 << 20};
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(extents.add(0x1000, 0x1000, ExtentKind::stored, 0));
    ASSERT_TRUE(extents.add(0x2000, 0x1000, ExtentKind::stored, 0x1000));
  }
  EXPECT_THAT(extents.take().all, ElementsAre(stored(0x1000, 0x3000, 0)));
}

TEST(ExtentBuilder, RangeBeyondEndOfFile_IsAbsentFromThere) {
  ExtentBuilder extents{0x1800};
  ASSERT_TRUE(extents.add(0x10000, 0x1000, ExtentKind::stored, 0x1000));
  ASSERT_TRUE(extents.add(0x20000, 0x1000, ExtentKind::stored, std::numeric_limits<std::uint64_t>::max()));
  const auto taken = extents.take();
  ASSERT_EQ(taken.all.size(), 3U);
  EXPECT_EQ(taken.all[0], stored(0x10000, 0x10800, 0x1000));
  EXPECT_EQ(taken.all[1], absent(0x10800, 0x11000, 0x1800));
  EXPECT_EQ(taken.all[2].kind, ExtentKind::absent);
  EXPECT_EQ(taken.first_missing, Gpa{0x10800});
}

TEST(ExtentBuilder, AbsentRange_GivesWayToLaterStoredOne) {
  ExtentBuilder extents{1 << 20};
  ASSERT_TRUE(extents.add(0x1000, 0x3000, ExtentKind::absent, 0));
  ASSERT_TRUE(extents.add(0x2000, 0x1000, ExtentKind::stored, 0x500));
  const auto taken = extents.take();
  EXPECT_THAT(taken.all, ElementsAre(absent(0x1000, 0x2000, 0), stored(0x2000, 0x3000, 0x500),
                                     absent(0x3000, 0x4000, 0x2000)));
  EXPECT_EQ(taken.first_missing, std::nullopt);
}

TEST(ExtentBuilder, WrappingRange_IsRefused) {
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  ExtentBuilder extents{1 << 20};
  EXPECT_FALSE(extents.add(0x1000, kMax, ExtentKind::stored, 0));
  EXPECT_FALSE(extents.add(kMax, 1, ExtentKind::stored, 0));
  EXPECT_FALSE(extents.add(kMaxImageGpa - 1, 2, ExtentKind::stored, 0));
  EXPECT_FALSE(extents.add(0x1000, 0, ExtentKind::stored, 0));
}

} // namespace
} // namespace vmemfs::test
