// SPDX-License-Identifier: MIT
#include "core/gpa.h"

#include <gtest/gtest.h>
#include <type_traits>

namespace vmemfs {
namespace {

static_assert(!std::is_convertible_v<std::uint64_t, Gpa>);
static_assert(!std::is_convertible_v<Gpa, Gfn>);
static_assert(!std::is_convertible_v<Gfn, Gpa>);

TEST(Gpa, PageStartAndOffset) {
  constexpr Gpa gpa{0x12345};
  EXPECT_EQ(gpa.page_start(), Gpa{0x12000});
  EXPECT_EQ(gpa.page_offset(), 0x345U);
}

TEST(Gpa, Arithmetic) {
  EXPECT_EQ(Gpa{0x1000} + 0x234, Gpa{0x1234});
  EXPECT_EQ(Gpa{0x1234} - Gpa{0x1000}, 0x234U);
  EXPECT_LT(Gpa{1}, Gpa{2});
}

TEST(Gfn, IsTheAddressInPages) {
  EXPECT_EQ(Gfn{Gpa{0x12345}}.value(), 0x12U);
  EXPECT_EQ(Gfn{0x12}.gpa(), Gpa{0x12000});
}

TEST(GpaRange, IsHalfOpen) {
  constexpr GpaRange range{Gpa{0x1000}, Gpa{0x2000}};
  EXPECT_EQ(range.size(), 0x1000U);
  EXPECT_TRUE(range.contains(Gpa{0x1000}));
  EXPECT_TRUE(range.contains(Gpa{0x1fff}));
  EXPECT_FALSE(range.contains(Gpa{0x2000}));
  EXPECT_TRUE((GpaRange{Gpa{5}, Gpa{5}}.empty()));
}

} // namespace
} // namespace vmemfs
