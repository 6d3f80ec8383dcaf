// SPDX-License-Identifier: MIT
// Recognising the sockets of GDB servers by command lines. tests/e2e/gdbstub has real QEMUs.
#include "drivers/qemu_protocol/gdb_socket.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/users.h"
#include "tests/drivers/qemu_protocol/unix_listener.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

using testing::HasSubstr;

class GdbSocket : public testing::Test {
protected:
  /// A process with these arguments, in the directory of the socket.
  [[nodiscard]] test::ChildProcess process(const std::vector<std::string>& arguments,
                                           const std::vector<std::string>& user = {}) const {
    const std::string script = "cd '" + dir_.path() + "' && : > ready && while :; do sleep 1; done";
    return test::ChildProcess{
        test::joined(test::joined(user, {"sh", "-c", script, "qemu-system-x86_64"}), arguments),
        dir_ / "output"};
  }

  [[nodiscard]] bool refused_with(const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& user = {}) const {
    std::filesystem::remove(dir_ / "ready"); // of the process before
    const auto child = process(arguments, user);
    EXPECT_TRUE(test::eventually([this] { return test::exists(dir_ / "ready"); }));
    const auto refused = refuse_gdb_socket(path_, "qemu");
    if (!refused) {
      EXPECT_EQ(refused.error().kind, ErrorKind::invalid);
      EXPECT_THAT(refused.error().text, HasSubstr("gdbstub:address=unix:" + path_));
    }
    return !refused;
  }

  const test::TempDir dir_;
  const std::string path_ = dir_ / "gdb";
  const UniqueFd socket_ = listen_at(path_);
};

TEST_F(GdbSocket, OfAnOption_IsRefused) {
  EXPECT_TRUE(refused_with({"-gdb", "unix:" + path_ + ",server=on,wait=off"}));
}

TEST_F(GdbSocket, WithTwoDashesAndARelativePath_IsRefused) {
  EXPECT_TRUE(refused_with({"--gdb", "unix:gdb"}));
}

TEST_F(GdbSocket, OfAChardev_IsRefused) {
  EXPECT_TRUE(refused_with({"-gdb", "chardev:g0", "-chardev", "socket,server=on,id=g0,path=" + path_}));
}

TEST_F(GdbSocket, PathWithAComma_IsRefused) {
  const std::string path = dir_ / "a,b";
  const UniqueFd socket = listen_at(path);
  const auto child = process({"-gdb", "unix:" + dir_.path() + "/a,,b,server=on"});
  EXPECT_TRUE(test::eventually([&] { return !refuse_gdb_socket(path, "qemu"); }));
}

TEST_F(GdbSocket, OtherSocketsOfSuchAProcess_AreNot) {
  EXPECT_FALSE(refused_with({"-gdb", "tcp::1234", "-qmp", "unix:" + path_}));
}

TEST_F(GdbSocket, OtherChardevs_AreNot) {
  EXPECT_FALSE(refused_with({"-gdb", "chardev:g0", "-chardev", "socket,id=m0,path=" + path_}));
}

TEST_F(GdbSocket, CommandLineOfAnotherUser_IsNotBelieved) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "it takes root to act as two users";
  }
  constexpr uid_t kOther = 65534;
  test::give(dir_.path(), kOther);
  EXPECT_FALSE(refused_with({"-gdb", "unix:" + path_}, test::as_user(kOther)));
  test::give(path_, kOther);
  EXPECT_TRUE(refused_with({"-gdb", "unix:" + path_}, test::as_user(kOther)));
}

TEST_F(GdbSocket, NoSuchFile_IsLeftToTheConnection) {
  EXPECT_TRUE(refuse_gdb_socket(dir_ / "none", "qemu"));
  EXPECT_TRUE(refuse_gdb_socket("", "qemu"));
}

} // namespace
} // namespace vmemfs
