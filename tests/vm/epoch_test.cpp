#include "vm/epoch.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

TEST(Epoch, TheNumberGoesUpWithEveryChange) {
  Epoch epoch;
  const auto first = epoch.load();
  EXPECT_FALSE(first.stands);
  epoch.may_change();
  EXPECT_GT(epoch.load().number, first.number);
  EXPECT_FALSE(epoch.load().stands);
  const auto second = epoch.load();
  epoch.changed();
  EXPECT_GT(epoch.load().number, second.number);
  EXPECT_FALSE(epoch.load().stands);
}

TEST(Epoch, StandsOnlyIfNothingHappenedSince) {
  Epoch epoch;
  auto before = epoch.load();
  epoch.may_change();
  EXPECT_FALSE(epoch.stands_since(before));
  EXPECT_FALSE(epoch.load().stands);
  before = epoch.load();
  ASSERT_TRUE(epoch.stands_since(before));
  const auto stands = epoch.load();
  EXPECT_TRUE(stands.stands);
  EXPECT_GT(stands.number, before.number);
  epoch.changed();
  EXPECT_TRUE(epoch.load().stands);
  EXPECT_GT(epoch.load().number, stands.number);
  const auto written = epoch.load();
  epoch.may_change();
  EXPECT_FALSE(epoch.load().stands);
  EXPECT_GT(epoch.load().number, written.number);
}

} // namespace
} // namespace vmemfs
