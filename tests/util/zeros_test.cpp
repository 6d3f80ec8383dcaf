// SPDX-License-Identifier: MIT
#include "util/zeros.h"

#include <algorithm>
#include <cstdint>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

TEST(Zeros, Zeros_CoverTheMaxRead) {
  const auto area = zeros();
  EXPECT_GE(area.size(), (std::size_t{1} << 20U) + 4096);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(area.data()) % 4096, 0U);
  EXPECT_TRUE(std::ranges::all_of(area, [](std::byte byte) { return byte == std::byte{0}; }));
}

} // namespace
} // namespace vmemfs::test
