// SPDX-License-Identifier: MIT
#include "drivers/xen/state/resume_ticket.h"

#include <gtest/gtest.h>

namespace vmemfs::xen {
namespace {

TEST(XenResumeTicket, ComesBackAsItWas) {
  const auto ticket = parse_resume_ticket(to_text({7, "96a4ef15-02a8-476a-a13c-7d4b857c97a8"}));
  ASSERT_TRUE(ticket);
  EXPECT_EQ(ticket->domain, 7U);
  EXPECT_EQ(ticket->uuid, "96a4ef15-02a8-476a-a13c-7d4b857c97a8");
}

TEST(XenResumeTicket, WhatIsNoneIsRefused) {
  for (const char* const text :
       {"", "domain=7", "domain=7\nuuid=", "domain=0\nuuid=a", "domain=70000\nuuid=a", "domain=x\nuuid=a",
        "uuid=a\ndomain=7", "domain=7\nuuid=a\nmore"}) {
    const auto ticket = parse_resume_ticket(text);
    ASSERT_FALSE(ticket) << text;
    EXPECT_EQ(ticket.error().kind, ErrorKind::invalid);
  }
}

} // namespace
} // namespace vmemfs::xen
