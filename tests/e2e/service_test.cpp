// SPDX-License-Identifier: MIT
// Notifications to the service manager, and the unit packaging/vmemfs.service.
#include "support/mount.h"
#include "util/unique_fd.h"

#include <csignal>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using std::chrono::seconds;

/// The service manager's socket. `name`: a path, or '@' and an abstract name.
class NotifySocket {
public:
  explicit NotifySocket(const std::string& name) : socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') {
      address.sun_path[0] = '\0';
    }
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  }

  /// The next message, or nullopt at the time limit.
  [[nodiscard]] std::string hear(std::chrono::milliseconds limit = seconds{10}) const {
    pollfd wait{socket_.get(), POLLIN, 0};
    char buffer[256];
    if (::poll(&wait, 1, static_cast<int>(limit.count())) != 1) {
      return {};
    }
    const ssize_t size = ::recv(socket_.get(), buffer, sizeof(buffer), 0);
    return {buffer, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  }

private:
  UniqueFd socket_;
};

class Notified : public testing::TestWithParam<bool> {};

TEST_P(Notified, GetsReadyAndStopping) {
  const TempDir dir;
  const std::string name = GetParam() ? fmt::format("@vmemfs-test-{}", ::getpid()) : dir / "notify";
  const NotifySocket manager{name};
  Mount mount{{"--vm", "vm=fake"}, Discover::off, RunAs{{"env", "NOTIFY_SOCKET=" + name}, ::getuid()}};
  EXPECT_EQ(manager.hear(), "READY=1");
  EXPECT_TRUE(exists(mount / "vm/mem"));
  EXPECT_EQ(manager.hear(std::chrono::milliseconds{100}), "");
  mount.daemon().signal(SIGTERM);
  EXPECT_EQ(manager.hear(), "STOPPING=1");
  EXPECT_EQ(mount.daemon().wait(seconds{10}), 0);
}

INSTANTIATE_TEST_SUITE_P(Name, Notified, testing::Bool(),
                         [](const auto& subject) { return subject.param ? "abstract" : "path"; });

TEST(Notified, NoListener_IsNotAFailure) {
  Mount mount{{"--vm", "vm=fake"}, Discover::off, RunAs{{"env", "NOTIFY_SOCKET=/nonexistent"}, ::getuid()}};
  EXPECT_THAT(mount.log(), testing::HasSubstr("cannot notify the service manager of READY=1"));
  EXPECT_EQ(mount.unmount(), 0);
}

TEST(Unit, IsAcceptedBySystemd) {
  if (run({"sh", "-c", "command -v systemd-analyze"}).code != 0) {
    GTEST_SKIP() << "there is no systemd-analyze here";
  }
  const TempDir dir;
  std::string text = read_file(VMEMFS_SOURCE_DIR "/packaging/vmemfs.service");
  const std::string installed = "/usr/bin/vmemfs";
  text.replace(text.find(installed), installed.size(), VMEMFS_PROGRAM); // it must exist
  write_file(dir / "vmemfs.service", text);
  const auto verified = run({"systemd-analyze", "verify", "--man=no", dir / "vmemfs.service"});
  EXPECT_EQ(verified.code, 0) << verified.text;
  EXPECT_EQ(verified.text.find("vmemfs.service"), std::string::npos) << verified.text;
}

} // namespace
} // namespace vmemfs::test
