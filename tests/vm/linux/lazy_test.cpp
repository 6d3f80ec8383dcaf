// SPDX-License-Identifier: MIT
#include "vm/linux/lazy.h"

#include <gtest/gtest.h>
#include <memory>

namespace vmemfs::test {
namespace {

TEST(Lazy, FailureOfTheLastTry_IsKnownWithoutATry) {
  Lazy<int> value;
  EXPECT_FALSE(value.failure());
  EXPECT_FALSE(value.get([]() -> Lazy<int>::Value { return fail(ErrorKind::no_data, "test", "too large"); }));
  ASSERT_TRUE(value.failure());
  EXPECT_EQ(value.failure()->text, "too large");
  Lazy<int> made;
  EXPECT_TRUE(made.get([]() -> Lazy<int>::Value { return std::make_shared<const int>(1); }));
  EXPECT_FALSE(made.failure());
}

} // namespace
} // namespace vmemfs::test
