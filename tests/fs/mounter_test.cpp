// SPDX-License-Identifier: MIT
#include "fs/mounter/mounter.h"
#include "fs/mounter/mounter_message.h"
#include "support/child_process.h"
#include "support/files.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

namespace vmemfs {
namespace {

/// Killed as soon as it has mounted, it must not leave a mount that nobody unmounts.
TEST(Mounter, MountReturns_StandbyExists) {
  if (::geteuid() != 0 || ::access("/dev/fuse", R_OK | W_OK) != 0) {
    GTEST_SKIP() << "takes root and /dev/fuse";
  }
  const std::string name{kMounterProcessName};
  for (int i = 0; i < 10; ++i) {
    const test::TempDir dir;
    auto mounter = Mounter::start({dir.path(), {"fsname=vmemfs", "subtype=vmemfs"}});
    ASSERT_TRUE(mounter) << mounter.error().message();
    const auto device = mounter->mount();
    ASSERT_TRUE(device) << device.error().message();
    const auto mounters = test::children_of(::getpid(), name);
    ASSERT_EQ(mounters.size(), 1U);
    EXPECT_EQ(test::children_of(mounters.front(), name).size(), 1U);
    mounter->unmount();
  }
}

} // namespace
} // namespace vmemfs
