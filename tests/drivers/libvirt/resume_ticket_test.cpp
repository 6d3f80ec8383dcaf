// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/resume_ticket.h"

#include <gtest/gtest.h>

namespace vmemfs::libvirt {
namespace {

TEST(LibvirtResumeTicket, ComesBackAsItWas) {
  const ResumeTicket ticket{"qemu+tcp://host/system?a=b\nuri=c",
                            {"0908e3b4-d86d-411a-8577-fac47e052054", "", 7}};
  const auto back = parse_resume_ticket(to_text(ticket));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->uri, ticket.uri);
  EXPECT_EQ(back->run, ticket.run);
}

TEST(LibvirtResumeTicket, NoOtherTextIsOne) {
  for (const char* const text : {"", "uuid=\nid=1\nuri=x", "uuid=a\nid=\nuri=x", "uuid=a\nid=-1\nuri=x",
                                 "uuid=a\nid=99999999999\nuri=x", "uuid=a\nid=1\n", "pid=1\nid=1\nuri=x"}) {
    EXPECT_FALSE(parse_resume_ticket(text)) << text;
  }
}

} // namespace
} // namespace vmemfs::libvirt
