// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/monitor_socket.h"
#include "support/files.h"
#include "tests/drivers/qemu_protocol/unix_listener.h"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

/// This process takes the place of QEMU, except if a test uses a fake procfs.
class FindMonitorPath : public testing::Test {
protected:
  Result<std::string> find(const std::string& path) {
    return find_monitor_path({path, std::nullopt}, ::getpid());
  }

  test::TempDir directory_;
};

TEST_F(FindMonitorPath, AbsolutePathInOurNamespace) {
  const UniqueFd socket = listen_at(directory_ / "qmp");
  EXPECT_EQ(find(directory_ / "qmp"), directory_ / "qmp");
}

TEST_F(FindMonitorPath, RelativePathBelongsToTheWorkingDirectory) {
  const UniqueFd socket = listen_at(directory_ / "qmp");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory_.path());
  const auto found = find("qmp");
  std::filesystem::current_path(before);
  EXPECT_EQ(found, directory_ / "qmp");
}

TEST_F(FindMonitorPath, DescriptorOfAListeningSocket) {
  const UniqueFd socket = listen_at(directory_ / "qmp");
  EXPECT_EQ(find_monitor_path({{}, socket.get()}, ::getpid()), directory_ / "qmp");
}

TEST_F(FindMonitorPath, DescriptorOfSomethingElse) {
  const UniqueFd file{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  const UniqueFd unbound{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  for (const int fd : {file.get(), unbound.get(), 987654}) {
    const auto found = find_monitor_path({{}, fd}, ::getpid());
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, ErrorKind::not_found) << found.error().message();
  }
}

TEST_F(FindMonitorPath, MissingOrNoSocket) {
  std::ofstream{directory_ / "file"} << "x";
  for (const char* name : {"file", "missing"}) {
    const auto found = find(directory_ / name);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, ErrorKind::not_found);
    EXPECT_THAT(found.error().text, testing::HasSubstr(name));
  }
}

TEST_F(FindMonitorPath, OtherMountNamespace) {
  std::filesystem::create_directories(directory_ / "proc/77/root/run");
  const UniqueFd socket = listen_at(directory_ / "proc/77/root/run/vmemfs-test-qmp");
  EXPECT_EQ(find_monitor_path({"/run/vmemfs-test-qmp", std::nullopt}, 77, directory_ / "proc"),
            directory_ / "proc/77/root/run/vmemfs-test-qmp");
}

TEST_F(FindMonitorPath, HostileSocketTable) {
  std::filesystem::create_directories(directory_ / "proc/77/fd");
  std::filesystem::create_directories(directory_ / "proc/77/net");
  std::filesystem::create_symlink("socket:[4711]", directory_ / "proc/77/fd/5");
  std::ofstream{directory_ / "proc/77/net/unix"}
      << "Num       RefCount Protocol Flags    Type St Inode Path\n\n   \nx\n"
      << "0: 2 0 00010000 0001 01 4711\n"
      << "0: 2 0 00000000 0001 03 4711 /connected\n"
      << "0: 2 0 zz 0001 01 4711 /flags\n"
      << "0: 2 0 00010000 0001 01 47110 /other\n"
      << std::string(100000, 'x') << "\n"
      << "0: 2 0 00010000 0001 01  4711 @abstract\n";
  const auto found = find_monitor_path({{}, 5}, 77, directory_ / "proc");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::not_found);
}

} // namespace
} // namespace vmemfs::qemu
