// SPDX-License-Identifier: MIT
// The way of Xen 4.18 and newer to ask for one domain, compiled against a stand-in for its header.
#include "drivers/xen/state/domain_info.h"

#include <cerrno>
#include <gtest/gtest.h>

extern "C" int xc_domain_getinfo_single(xc_interface* /*control*/, uint32_t domain, xc_domaininfo_t* info) {
  if (domain != 5) {
    errno = domain == 6 ? EPERM : ESRCH;
    return -1;
  }
  *info = {};
  info->domain = 5;
  info->flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_paused;
  info->tot_pages = 8208;
  info->max_vcpu_id = 1;
  return 0;
}

namespace vmemfs::xen {
namespace {

TEST(XenNewerApi, OneDomainIsAskedForByItself) {
  const auto info = domain_info(nullptr, 5);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->kind, DomainKind::pvh);
  EXPECT_TRUE(info->paused);
  EXPECT_EQ(info->pages, 8208U);
  EXPECT_EQ(info->vcpus, 2U);
}

TEST(XenNewerApi, OneThatIsNotThereOrNotOursIsToldApart) {
  EXPECT_EQ(domain_info(nullptr, 7).error().kind, ErrorKind::not_found);
  EXPECT_EQ(domain_info(nullptr, 6).error().kind, ErrorKind::permission);
}

} // namespace
} // namespace vmemfs::xen
