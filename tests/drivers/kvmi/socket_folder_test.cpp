// SPDX-License-Identifier: MIT
// Folders of the listening socket: whoever can change one could put a socket of his own in its place, to
// which QEMU then connects.
#include "drivers/kvmi/hub/listen_socket.h"
#include "support/files.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::kvmi {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& path) {
  const auto socket = ListenSocket::open({.path = path});
  return socket ? "" : socket.error().text;
}

TEST(KvmiSocketFolder, ThatOthersCanChange_IsRefused) {
  const test::TempDir dir;
  const std::string open = dir / "open";
  std::filesystem::create_directories(open + "/inner");
  for (const mode_t mode : {mode_t{0777}, mode_t{0775}}) {
    ASSERT_EQ(::chmod(open.c_str(), mode), 0);
    EXPECT_THAT(refusal(open + "/kvmi.sock"), HasSubstr("other users")) << mode;
    EXPECT_THAT(refusal(open + "/inner/kvmi.sock"), HasSubstr("other users")) << mode;
    EXPECT_FALSE(test::exists(open + "/kvmi.sock"));
  }
  ASSERT_EQ(::chmod(open.c_str(), 01777), 0); // as /tmp: only the owner of a file may replace it
  EXPECT_EQ(refusal(open + "/kvmi.sock"), "");
  EXPECT_FALSE(test::exists(open + "/kvmi.sock"));
}

TEST(KvmiSocketFolder, OfAnotherUser_IsRefused) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root to make it";
  }
  const test::TempDir dir;
  const std::string foreign = dir / "foreign";
  std::filesystem::create_directories(foreign + "/inner");
  ASSERT_EQ(::chown(foreign.c_str(), 65534, 65534), 0);
  EXPECT_THAT(refusal(foreign + "/kvmi.sock"), HasSubstr("user 65534"));
  EXPECT_THAT(refusal(foreign + "/inner/kvmi.sock"), HasSubstr("user 65534"));
}

/// Where it points to now counts, and the link is not followed again.
TEST(KvmiSocketFolder, LinkToASafeFolder_IsUsedAsThatFolder) {
  const test::TempDir dir;
  std::filesystem::create_directory(dir / "real");
  std::filesystem::create_directory(dir / "another");
  std::filesystem::create_directory_symlink(dir / "real", dir / "link");
  {
    const auto socket = ListenSocket::open({.path = (dir / "link") + "/kvmi.sock"});
    ASSERT_TRUE(socket) << socket.error().message();
    EXPECT_TRUE(test::exists((dir / "real") + "/kvmi.sock"));
    std::filesystem::remove(dir / "link");
    std::filesystem::create_directory_symlink(dir / "another", dir / "link");
    test::write_file((dir / "another") + "/kvmi.sock", "precious");
  }
  EXPECT_FALSE(test::exists((dir / "real") + "/kvmi.sock"));
  EXPECT_EQ(test::read_file((dir / "another") + "/kvmi.sock"), "precious");
}

TEST(KvmiSocketFolder, LinkInPlaceOfTheSocket_IsLeftAlone) {
  const test::TempDir dir;
  std::filesystem::create_symlink(dir / "elsewhere", dir / "kvmi.sock");
  EXPECT_THAT(refusal(dir / "kvmi.sock"), HasSubstr("not a socket"));
  EXPECT_FALSE(test::exists(dir / "elsewhere"));
  EXPECT_THAT(refusal((dir / "none") + "/kvmi.sock"), HasSubstr("No such file"));
}

} // namespace
} // namespace vmemfs::kvmi
