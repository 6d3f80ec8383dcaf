// SPDX-License-Identifier: MIT
#include "vm/state/epoch.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

TEST(Epoch, Change_RaisesTheNumber) {
  Epoch epoch;
  const auto first = epoch.load();
  EXPECT_FALSE(first.stable);
  epoch.may_change();
  EXPECT_GT(epoch.load().number, first.number);
  EXPECT_FALSE(epoch.load().stable);
  const auto second = epoch.load();
  epoch.changed();
  EXPECT_GT(epoch.load().number, second.number);
  EXPECT_FALSE(epoch.load().stable);
}

TEST(Epoch, TryMarkStable_AfterAChange_Fails) {
  Epoch epoch;
  auto before = epoch.load();
  epoch.may_change();
  EXPECT_FALSE(epoch.try_mark_stable(before));
  EXPECT_FALSE(epoch.load().stable);
  before = epoch.load();
  ASSERT_TRUE(epoch.try_mark_stable(before));
  const auto stable = epoch.load();
  EXPECT_TRUE(stable.stable);
  EXPECT_GT(stable.number, before.number);
  epoch.changed();
  EXPECT_TRUE(epoch.load().stable);
  EXPECT_GT(epoch.load().number, stable.number);
  const auto written = epoch.load();
  epoch.may_change();
  EXPECT_FALSE(epoch.load().stable);
  EXPECT_GT(epoch.load().number, written.number);
}

} // namespace
} // namespace vmemfs
