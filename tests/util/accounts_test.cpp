// SPDX-License-Identifier: MIT
#include "util/users/accounts.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace vmemfs {
namespace {

uid_t owner_of(std::string_view uids) {
  const auto owner =
      parse_process_owner(std::string{"Name:\tqemu\nUid:\t"} + std::string{uids} + "\nGid:\t0\t0\t0\t0\n");
  EXPECT_TRUE(owner) << owner.error().message();
  return owner.value_or(~uid_t{0});
}

TEST(ProcessOwner, OwnProcess_IsOurs) {
  const auto owner = process_owner(::getpid());
  ASSERT_TRUE(owner) << owner.error().message();
  EXPECT_EQ(*owner, ::getuid());
}

TEST(ProcessOwner, SetUidProgram_IsItsCallers) {
  EXPECT_EQ(owner_of("1000\t1000\t1000\t1000"), 1000U);
  EXPECT_EQ(owner_of("1000\t0\t0\t0"), 1000U);
  EXPECT_EQ(owner_of("0\t1000\t0\t1000"), 1000U);
  EXPECT_EQ(owner_of("0\t0\t1000\t0"), 1000U);
  EXPECT_EQ(owner_of("0\t0\t0\t0"), 0U);
  EXPECT_EQ(owner_of("4294967294\t0\t0\t0"), 4294967294U);
}

TEST(ProcessOwner, Malformed_IsAnError) {
  for (const char* const text :
       {"", "Uid:", "Uid:\t1\t2\n", "Uid:\t1x\t2\t3\t4\n", "Uid:\t4294967296\t0\t0\t0\n"}) {
    EXPECT_FALSE(parse_process_owner(text)) << text;
  }
}

} // namespace
} // namespace vmemfs
