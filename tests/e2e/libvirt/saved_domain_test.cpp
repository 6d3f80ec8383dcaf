// SPDX-License-Identifier: MIT
#include "e2e/libvirt/domains.h"

#include <cerrno>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::test {
namespace {

// It was shown as raw memory, so that all of it was wrong.
TEST_F(Libvirt, FileOfVirshSave_IsNoDump) {
  LibvirtHost host;
  DomainOptions options;
  options.monitor_for_test = false;
  host.create(options);
  const std::string file = host.dir() / "saved";
  host.virsh({"save", "web01", file});
  const Mount mount{{"--vm", "other=fake:size=1M"}};
  EXPECT_EQ(try_write(mount / ".vmemfs/control", "attach saved=dump:path=" + file + "\n"), EINVAL);
  EXPECT_THAT(read_file(mount / ".vmemfs/control"), testing::HasSubstr("virsh restore --paused"))
      << mount.log();
}

} // namespace
} // namespace vmemfs::test
