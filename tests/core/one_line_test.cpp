// SPDX-License-Identifier: MIT
#include "core/one_line.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

TEST(OneLine, Lines_AreJoined) {
  EXPECT_EQ(one_line(""), "");
  EXPECT_EQ(one_line("cannot open it"), "cannot open it");
  EXPECT_EQ(one_line("no driver can open it:\n  a: no\n  b: never\n"),
            "no driver can open it: a: no; b: never");
  EXPECT_EQ(one_line("\n\n a \r\n\n b"), "a; b");
}

} // namespace
} // namespace vmemfs
