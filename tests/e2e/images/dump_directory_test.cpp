// SPDX-License-Identifier: MIT
// A directory of dumps in a mount: VMs appear with their files and leave with them.
#include "image/image_bytes.h"
#include "support/files.h"
#include "support/mount.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string lime(char fill) { return lime_range({0, std::string(8192, fill)}); }

TEST(DumpDirectory, InAMount_VmsFollowTheFiles) {
  const TempDir dir;
  write_file(dir / "a.lime", lime('a'));
  write_file(dir / "notes.txt", "no dump");
  fs::create_symlink("/etc/passwd", dir / "link");
  const Mount mount{{"--discover", "dump:dir=" + dir.path()}, Discover::on};
  EXPECT_TRUE(eventually([&] { return exists(mount / "a.lime/mem"); })) << mount.log();
  EXPECT_EQ(read_file(mount / "a.lime/mem"), std::string(8192, 'a'));
  EXPECT_TRUE(eventually([&] {
    return line_with(read_file(mount / ".vmemfs/control"), "refused dump").find("no known format") !=
           std::string::npos;
  })) << read_file(mount / ".vmemfs/control");
  EXPECT_TRUE(eventually([&] { return mount.log().find("no known format") != std::string::npos; }));

  write_file(dir / "b.lime", lime('b'));
  EXPECT_TRUE(eventually([&] { return exists(mount / "b.lime/mem"); })) << mount.log();
  EXPECT_EQ(read_file(mount / "b.lime/mem"), std::string(8192, 'b'));

  fs::remove(dir / "a.lime");
  EXPECT_TRUE(eventually([&] { return !exists(mount / "a.lime"); }));
  EXPECT_TRUE(exists(mount / "b.lime/mem"));

  write_file(dir / "new", lime('c'));
  fs::rename(dir / "new", dir / "b.lime");
  EXPECT_TRUE(eventually([&] { return read_file(mount / "b.lime/mem") == std::string(8192, 'c'); }));
  EXPECT_FALSE(exists(mount / "link"));
}

} // namespace
} // namespace vmemfs::test
