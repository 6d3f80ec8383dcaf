// SPDX-License-Identifier: MIT
#include "driver/kit/user_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using testing::HasSubstr;

TEST(UserMap, RangesAreJoinedByPlusOrComma) {
  for (const char* const text :
       {"0-640K+1M-128M+0xfffc0000-4G:rom", "0-0xa0000,0x100000-128M,0xfffc0000-4G:rom"}) {
    const auto map = parse_user_map(text, "test");
    ASSERT_TRUE(map.has_value()) << map.error().message();
    ASSERT_EQ(map->regions().size(), 3U);
    EXPECT_EQ(map->regions()[0].range, (GpaRange{Gpa{0}, Gpa{0xa0000}}));
    EXPECT_EQ(map->regions()[1].range, (GpaRange{Gpa{0x100000}, Gpa{0x8000000}}));
    EXPECT_TRUE(map->regions()[1].writable);
    EXPECT_EQ(map->regions()[2].kind, RegionKind::rom);
    EXPECT_FALSE(map->regions()[2].writable);
    EXPECT_EQ(map->ram_end(), Gpa{0x8000000});
  }
}

TEST(UserMap, WhatIsNoMap_IsRefusedWithTheForm) {
  for (const char* const text : {"", "1M", "1M-", "-1M", "2M-1M", "1M-1M", "0-1M:disk", "0-1M:rom",
                                 "0-2M+1M-3M", "x-y", "0-0xffffffffffffffff", "0-1M++2M-3M"}) {
    const auto map = parse_user_map(text, "test");
    ASSERT_FALSE(map.has_value()) << text;
    EXPECT_EQ(map.error().kind, ErrorKind::invalid) << text;
    EXPECT_THAT(map.error().text, HasSubstr("BEGIN-END[:KIND]")) << text;
  }
}

} // namespace
} // namespace vmemfs
