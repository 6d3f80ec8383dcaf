// SPDX-License-Identifier: MIT
// On a host without Xen the driver says so, and nothing else is disturbed.
#include "drivers/all_drivers.h"
#include "drivers/xen/xen_type.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/mount.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

class NoXenHost : public testing::Test {
protected:
  void SetUp() override {
    if (exists("/dev/xen/privcmd")) {
      GTEST_SKIP() << "this is a Xen host; see tests/xen";
    }
  }
};

TEST_F(NoXenHost, IsSaidWithTheReasonAndTheRemedy) {
  const auto available = xen_driver_type().available();
  ASSERT_FALSE(available);
  EXPECT_EQ(available.error().kind, ErrorKind::unsupported);
  EXPECT_NE(available.error().text.find("not a Xen host"), std::string::npos) << available.error().text;
  EXPECT_NE(available.error().text.find("domain 0"), std::string::npos) << available.error().text;
}

TEST_F(NoXenHost, OpeningAndResumingSayTheSame) {
  FdWatcher watcher;
  Worker worker;
  const auto opened = open_driver({"", "xen", "domain=web01"}, {watcher, worker});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::unsupported);
  const auto resumed =
      xen_driver_type().resume_orphan("domain=7\nuuid=96a4ef15-02a8-476a-a13c-7d4b857c97a8", nullptr);
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().kind, ErrorKind::unsupported);
}

TEST_F(NoXenHost, OtherVmsAreMountedWithoutAWordOfIt) {
  const Mount mount{{"--vm", "made=fake:size=1M"}, Discover::on};
  EXPECT_TRUE(exists(mount / "made/mem"));
  EXPECT_EQ(mount.log().find("xen"), std::string::npos) << mount.log();
  EXPECT_NE(read_file(mount / ".vmemfs/drivers/xen").find("not a Xen host"), std::string::npos);
}

} // namespace
} // namespace vmemfs::test
