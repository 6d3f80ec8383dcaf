// SPDX-License-Identifier: MIT
// Memory maps as LeechCore prints them, and as users write them.
#include "drivers/leechcore/memory/device_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::leechcore {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

DeviceRange range(std::uint64_t begin, std::uint64_t end, std::uint64_t remap) {
  return {{Gpa{begin}, Gpa{end}}, remap};
}

std::string problem(std::string_view text) {
  const auto parsed = parse_map_file(text);
  return parsed ? "none" : parsed.error().text;
}

TEST(DeviceMap, TextOfLeechCore_TopIsInclusiveAndNumbersArePadded) {
  const auto map = parse_device_map("0000                0 -            9ffff ->                0\n"
                                    "0001           100000 -         bfffffff ->           100000\n"
                                    "0002        100000000 -        13fffffff ->         c0000000\n");
  ASSERT_TRUE(map.has_value()) << map.error().text;
  EXPECT_THAT(*map, ElementsAre(range(0, 0xa0000, 0), range(0x100000, 0xc0000000, 0x100000),
                                range(0x100000000, 0x140000000, 0xc0000000)));
}

TEST(DeviceMap, EmptyText_HasNoRange) {
  EXPECT_THAT(parse_device_map("").value(), IsEmpty());
  EXPECT_THAT(parse_device_map("\n \r\n# nothing\n").value(), IsEmpty());
}

TEST(DeviceMap, IndexAndRemap_MayBeMissing) {
  const auto map = parse_map_file("# of my host\r\n0 - 9ffff\r\n0x100000 - 0x1fffff -> 0x300000 # moved\n");
  ASSERT_TRUE(map.has_value()) << map.error().text;
  EXPECT_THAT(*map, ElementsAre(range(0, 0xa0000, 0), range(0x100000, 0x200000, 0x300000)));
}

TEST(DeviceMap, WrongRange_IsNamedWithItsLine) {
  EXPECT_THAT(problem("0 - 9ffff\n100000 - 1ffffe\n"), HasSubstr("line 2"));
  EXPECT_THAT(problem("100000 - 1ffffe\n"), HasSubstr("whole pages"));
  EXPECT_THAT(problem("200000 - 1fffff\n"), HasSubstr("empty"));
  EXPECT_THAT(problem("1000 - fffffffffffffffe\n"), HasSubstr("too high"));
  EXPECT_THAT(problem("0 - ffffffffffffffff\n"), HasSubstr("empty"));
  EXPECT_THAT(problem("1000 - 1fff -> 7ffffffffffff000\n"), HasSubstr("none"));
  EXPECT_THAT(problem("1000 - 2fff -> 7ffffffffffff000\n"), HasSubstr("too high"));
  EXPECT_THAT(problem("100000 - 1fffff -> 0\n"), HasSubstr("address 0"));
  EXPECT_THAT(problem("0 9ffff\n"), HasSubstr("BASE - TOP"));
  EXPECT_THAT(problem("0 - 9ffff ->\n"), HasSubstr("BASE - TOP"));
  EXPECT_THAT(problem("0 - \n"), HasSubstr("BASE - TOP"));
  EXPECT_THAT(problem("zero - 9ffff\n"), HasSubstr("BASE - TOP"));
  EXPECT_THAT(problem(""), HasSubstr("no range"));
}

TEST(DeviceMap, OverlappingRanges_AreRefused) {
  EXPECT_THAT(problem("0 - fffff\n80000 - 1fffff\n"), HasSubstr("two ranges at 0x80000"));
}

TEST(DeviceMap, TooManyRanges_AreRefused) {
  std::string text;
  for (std::size_t i = 0; i <= kMaxRanges; ++i) {
    text += std::to_string(i) + "000 - " + std::to_string(i) + "fff\n"; // decimal digits are hexadecimal too
  }
  EXPECT_THAT(problem(text), HasSubstr("more than"));
}

TEST(DeviceMap, FileOfMemflow_InAnyOrder) {
  const auto map = parse_map_file("[[range]]\nbase=0x100000\nlength=0x7ff0_0000\n\n"
                                  "[[range]] # low memory\nbase = 0x1000\nlength = 651264 # decimal\n"
                                  "[[range]]\nlength=0x1000\nreal_base=0x80000000\nbase=0x100000000\n");
  ASSERT_TRUE(map.has_value()) << map.error().text;
  EXPECT_THAT(*map, ElementsAre(range(0x1000, 0xa0000, 0x1000), range(0x100000, 0x80000000, 0x100000),
                                range(0x100000000, 0x100001000, 0x80000000)));
}

TEST(DeviceMap, WrongFileOfMemflow_IsRefusedWithTheReason) {
  EXPECT_THAT(problem("base=1\n[[range]]\n"), HasSubstr("before the first"));
  EXPECT_THAT(problem("[[range]]\nbase=0\n"), HasSubstr("no length"));
  EXPECT_THAT(problem("[[range]]\nbase=0\nlength=-4096\n"), HasSubstr("not a number"));
  EXPECT_THAT(problem("[[range]]\nbase=0\nbase=0\nlength=4096\n"), HasSubstr("once each"));
  EXPECT_THAT(problem("[[range]]\nbase=0\nsize=4096\n"), HasSubstr("once each"));
  EXPECT_THAT(problem("[[range]]\nbase=0\nlength=4096\n[[range]]\nbase=0\nlength=8192\n"),
              HasSubstr("two ranges"));
}

TEST(DeviceMap, TextForLeechCore_HasNoIndex_AndReadsBack) {
  const std::vector<DeviceRange> map{range(0, 0xa0000, 0), range(0x100000, 0x200000, 0x300000)};
  EXPECT_EQ(to_device_map(map), "0 - 9ffff -> 0\n100000 - 1fffff -> 300000\n");
  EXPECT_EQ(parse_device_map(to_device_map(map)).value(), map);
}

TEST(DeviceMap, MaxAddress_IsInclusiveOrTheEnd) {
  EXPECT_THAT(all_up_to(0xffffff), ElementsAre(range(0, 0x1000000, 0)));
  EXPECT_THAT(all_up_to(0x1000000), ElementsAre(range(0, 0x1000000, 0)));
  EXPECT_THAT(all_up_to(0), IsEmpty());
  EXPECT_THAT(all_up_to(~std::uint64_t{0}), IsEmpty());
}

} // namespace
} // namespace vmemfs::leechcore
