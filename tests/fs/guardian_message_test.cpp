// SPDX-License-Identifier: MIT
#include "fs/guardian/guardian_message.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

TEST(GuardianMessage, ToTextAndParse_RoundTrips) {
  const std::string ticket = "pid=1\nmonitor=/a b\n/c";
  const auto armed = parse_guardian_message(to_text({7, GuardTicket{"qemu", ticket}}));
  ASSERT_TRUE(armed) << armed.error().message();
  EXPECT_EQ(armed->vm, 7U);
  ASSERT_TRUE(armed->armed);
  EXPECT_EQ(armed->armed->driver, "qemu");
  EXPECT_EQ(armed->armed->ticket, ticket);

  const auto disarmed = parse_guardian_message(to_text({4294967295, std::nullopt}));
  ASSERT_TRUE(disarmed) << disarmed.error().message();
  EXPECT_EQ(disarmed->vm, 4294967295U);
  EXPECT_FALSE(disarmed->armed);
}

TEST(GuardianMessage, InvalidText_IsRefused) {
  for (const std::string_view text : {"",
                                      "\n",
                                      "arm",
                                      "arm 1",
                                      "arm 1 qemu",
                                      "arm 1 qemu\n",
                                      "arm 1 \nt",
                                      "arm qemu\nt",
                                      "arm -1 qemu\nt",
                                      "arm 4294967296 qemu\nt",
                                      "arm 1 qemu x\nt",
                                      "arm 1  qemu\nt",
                                      " arm 1 qemu\nt",
                                      "Arm 1 qemu\nt",
                                      "disarm",
                                      "disarm ",
                                      "disarm x",
                                      "disarm 1 2",
                                      "disarm 1\n",
                                      "disarm 1\nt",
                                      "disarm 4294967296",
                                      "rearm 1 qemu\nt"}) {
    const auto message = parse_guardian_message(text);
    ASSERT_FALSE(message) << text;
    EXPECT_EQ(message.error().kind, ErrorKind::invalid) << text;
  }
}

} // namespace
} // namespace vmemfs
