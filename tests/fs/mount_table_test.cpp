// SPDX-License-Identifier: MIT
#include "fs/daemon/mount_table.h"

#include <gtest/gtest.h>
#include <string>

namespace vmemfs {
namespace {

constexpr std::string_view kTable =
    "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "27 22 0:24 / /tmp rw,nosuid - tmpfs tmpfs rw\n"
    "40 27 0:50 / /tmp/m rw,nosuid,nodev shared:7 - fuse.vmemfs vmemfs rw,user_id=0\n"
    "41 27 0:51 / /tmp/with\\040blank\\134\\011x rw - fuse.vmemfs vmemfs rw\n";

TEST(MountTable, FindsAMountByItsPath) {
  EXPECT_EQ(find_mount(kTable, "/tmp/m"), (MountIdentity{40, "0:50", "fuse.vmemfs"}));
  EXPECT_EQ(find_mount(kTable, "/"), (MountIdentity{22, "254:0", "ext4"}));
}

TEST(MountTable, OtherPath_IsNotFound) {
  for (const char* path : {"/tmp/m/", "/tmp/m2", "/tmp", "/t", ""}) {
    EXPECT_EQ(find_mount(kTable, path).has_value(), std::string{path} == "/tmp") << path;
  }
}

TEST(MountTable, EnclosingMount_IsTheClosest) {
  EXPECT_EQ(enclosing_mount(kTable, "/tmp/m/vm/vcpus"), "/tmp/m");
  EXPECT_EQ(enclosing_mount(kTable, "/tmp/m"), "/tmp/m");
  EXPECT_EQ(enclosing_mount(kTable, "/tmp/m2"), "/tmp");
  EXPECT_EQ(enclosing_mount(kTable, "/home"), "/");
  EXPECT_EQ(enclosing_mount(kTable, "/"), "/");
  EXPECT_EQ(enclosing_mount("", "/tmp"), std::nullopt);
  EXPECT_EQ(enclosing_mount(kTable, ""), std::nullopt);
}

TEST(MountTable, EscapedPath_IsFound) {
  EXPECT_EQ(find_mount(kTable, "/tmp/with blank\\\tx"), (MountIdentity{41, "0:51", "fuse.vmemfs"}));
}

TEST(MountTable, SeveralMounts_TopOneIsFoundInAnyOrder) {
  const std::string over = "50 40 0:60 / /tmp/m rw - tmpfs tmpfs rw\n";
  EXPECT_EQ(find_mount(std::string{kTable} + over, "/tmp/m"), (MountIdentity{50, "0:60", "tmpfs"}));
  EXPECT_EQ(find_mount(over + std::string{kTable}, "/tmp/m"), (MountIdentity{50, "0:60", "tmpfs"}));
}

TEST(MountTable, MountBelowAnother_IsFound) {
  const std::string over = std::string{kTable} + "50 40 0:60 / /tmp/m rw - tmpfs tmpfs rw\n";
  EXPECT_TRUE(has_mount(over, {40, "0:50", "fuse.vmemfs"}, "/tmp/m"));
  EXPECT_FALSE(has_mount(over, {40, "0:51", "fuse.vmemfs"}, "/tmp/m"));
  EXPECT_FALSE(has_mount(over, {41, "0:50", "fuse.vmemfs"}, "/tmp/m"));
  EXPECT_FALSE(has_mount(over, {40, "0:50", "fuse.vmemfs"}, "/tmp"));
  EXPECT_FALSE(has_mount(over, {40, "0:50", "tmpfs"}, "/tmp/m")); // the numbers were reused
}

TEST(MountTable, MalformedLines_AreIgnored) {
  for (const char* line :
       {"", "x", "1 2 3 4", "a 27 0:50 / /tmp/m rw - fuse x", "40 b 0:50 / /tmp/m rw - fuse x",
        "99999999999999999999999 1 0:50 / /tmp/m rw - fuse x", "40 27 0:50 / /tmp/\\04",
        "40 27 0:50 / /tmp/m rw", "40 27 0:50 / /tmp/m rw -"}) {
    EXPECT_EQ(find_mount(line, "/tmp/m"), std::nullopt) << line;
  }
}

TEST(MountTable, RealMountinfo_IsParsed) {
  const auto table = MountTable::open();
  ASSERT_TRUE(table);
  EXPECT_TRUE(table->mounted_on("/proc"));
  EXPECT_TRUE(table->mounted_on("/proc")); // again, from the start
  EXPECT_FALSE(table->mounted_on("/proc/nothing"));
}

} // namespace
} // namespace vmemfs
