// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/monitor_socket.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "support/files.h"
#include "support/free_port.h"
#include "tests/drivers/qemu_protocol/unix_listener.h"

#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <string>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

using testing::HasSubstr;

/// This process takes the place of QEMU, except if a test uses a fake procfs.
class FindMonitor : public testing::Test {
protected:
  static Result<std::string> find(const std::string& path) { return find_monitor({path, {}}, ::getpid()); }

  void expect_error(const Result<std::string>& found, ErrorKind kind, const std::string& text) {
    ASSERT_FALSE(found) << *found;
    EXPECT_EQ(found.error().kind, kind) << found.error().message();
    EXPECT_THAT(found.error().text, HasSubstr(text));
  }

  test::TempDir directory_;
};

TEST_F(FindMonitor, AbsolutePathInOurNamespace) {
  const UniqueFd socket = listen_at(directory_ / "qmp");
  EXPECT_EQ(find(directory_ / "qmp"), directory_ / "qmp");
}

TEST_F(FindMonitor, RelativePathBelongsToTheWorkingDirectory) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory_.path());
  const UniqueFd socket = listen_at("qmp");
  const auto found = find("qmp");
  std::filesystem::current_path(before);
  EXPECT_EQ(found, directory_ / "qmp");
}

TEST_F(FindMonitor, DescriptorOfAListeningSocket) {
  const UniqueFd socket = listen_at(directory_ / "qmp");
  EXPECT_EQ(find_monitor({{}, socket.get()}, ::getpid()), directory_ / "qmp");
}

TEST_F(FindMonitor, DescriptorOfSomethingElse) {
  const UniqueFd file{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  const UniqueFd unbound{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  for (const int fd : {file.get(), unbound.get(), 987654}) {
    const auto found = find_monitor({{}, fd}, ::getpid());
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().kind, ErrorKind::not_found) << found.error().message();
  }
}

TEST_F(FindMonitor, MissingOrNoSocket) {
  std::ofstream{directory_ / "file"} << "x";
  for (const char* name : {"file", "missing"}) {
    expect_error(find(directory_ / name), ErrorKind::not_found, name);
  }
}

/// Another process's socket has taken the name since.
TEST_F(FindMonitor, SocketOfAnotherProcess_IsNotFound) {
  UniqueFd socket = listen_at(directory_ / "qmp");
  ASSERT_TRUE(find(directory_ / "qmp"));
  socket.reset();
  expect_error(find(directory_ / "qmp"), ErrorKind::not_found, "does not listen");
}

TEST_F(FindMonitor, RemovedFile_IsNotWaitedFor) {
  const UniqueFd socket = listen_at(directory_ / "qmp");
  std::filesystem::remove(directory_ / "qmp");
  expect_error(find(directory_ / "qmp"), ErrorKind::unsupported, "its file was removed");
}

TEST_F(FindMonitor, OtherMountNamespace) {
  std::filesystem::create_directories(directory_ / "proc/77/root/run");
  const UniqueFd socket = listen_at(directory_ / "proc/77/root/run/vmemfs-test-qmp");
  EXPECT_EQ(find_monitor({"/run/vmemfs-test-qmp", {}}, 77, directory_ / "proc"),
            directory_ / "proc/77/root/run/vmemfs-test-qmp");
}

/// A QEMU with another root has another file under the name.
TEST_F(FindMonitor, SameNameInOtherRoot_PathOfTheStartCountsAfterChrootOnly) {
  const std::string path = directory_ / "qmp";
  std::filesystem::create_directories(directory_ / "proc/77/root" + directory_.path());
  const UniqueFd socket = listen_at(path);
  const UniqueFd other = listen_at(directory_ / "proc/77/root" + path);
  MonitorSocket monitor{path, {}};
  EXPECT_EQ(find_monitor(monitor, 77, directory_ / "proc"), directory_ / "proc/77/root" + path);
  monitor.chrooted = true;
  EXPECT_EQ(find_monitor(monitor, 77, directory_ / "proc"), path);
}

TEST_F(FindMonitor, RelativePathOfAProcessThatMoved_StartsAtItsPwd) {
  std::filesystem::create_directories(directory_ / "proc/77/cwd");
  std::ofstream{directory_ / "proc/77/environ"} << "A=1" << '\0' << "PWD=" << directory_.path() << '\0';
  const UniqueFd socket = listen_at(directory_ / "qmp");
  EXPECT_EQ(find_monitor({"qmp", {}}, 77, directory_ / "proc"), directory_ / "qmp");
}

TEST_F(FindMonitor, HostileSocketTable) {
  std::filesystem::create_directories(directory_ / "proc/77/fd");
  std::filesystem::create_directories(directory_ / "proc/77/net");
  std::filesystem::create_symlink("socket:[4711]", directory_ / "proc/77/fd/5");
  std::ofstream{directory_ / "proc/77/net/unix"}
      << "Num       RefCount Protocol Flags    Type St Inode Path\n\n   \nx\n"
      << "0: 2 0 00010000 0001 01 4711\n"
      << "0: 2 0 00000000 0001 03 4711 /connected\n"
      << "0: 2 0 zz 0001 01 4711 /flags\n"
      << "0: 2 0 00010000 0001 01 47110 /other\n"
      << std::string(100000, 'x') << "\n";
  const auto found = find_monitor({{}, 5}, 77, directory_ / "proc");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::not_found);
  std::ofstream{directory_ / "proc/77/net/unix", std::ios::app}
      << "0: 2 0 00010000 0001 01  4711 @abstract\n";
  EXPECT_EQ(find_monitor({{}, 5}, 77, directory_ / "proc"), "abstract:abstract");
}

/// A listening socket with an abstract name.
UniqueFd listen_at_abstract(const std::string& name, bool padded) {
  UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, name.size());
  const std::size_t size = padded ? sizeof(address) : offsetof(sockaddr_un, sun_path) + 1 + name.size();
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)) != 0 ||
      ::listen(socket.get(), 1) != 0) {
    throw std::runtime_error{"cannot listen at " + name};
  }
  return socket;
}

class FindAbstractMonitor : public FindMonitor, public testing::WithParamInterface<bool> {
protected:
  const std::string name_ = fmt::format("vmemfs-test-{}", ::getpid());
  const MonitorSocket monitor_{.path = name_, .fd = {}, .abstract = true, .padded = GetParam()};
};

TEST_P(FindAbstractMonitor, ListeningSocket_IsFoundAndCanBeConnectedTo) {
  expect_error(find_monitor(monitor_, ::getpid()), ErrorKind::not_found, "does not listen");
  const UniqueFd wrong_form = listen_at_abstract(name_, !GetParam());
  expect_error(find_monitor(monitor_, ::getpid()), ErrorKind::not_found, "does not listen");
  const UniqueFd socket = listen_at_abstract(name_, GetParam());
  const auto found = find_monitor(monitor_, ::getpid());
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(find_monitor({{}, socket.get()}, ::getpid()), *found);
  EXPECT_FALSE(has_client(*found, ::getpid()));
  const auto client = connect_to_monitor(*found, std::chrono::steady_clock::now());
  ASSERT_TRUE(client) << client.error().message();
  EXPECT_FALSE(has_client(*found, ::getpid())) << "not accepted yet";
  const UniqueFd accepted{::accept(socket.get(), nullptr, nullptr)};
  EXPECT_TRUE(has_client(*found, ::getpid()));
}

INSTANTIATE_TEST_SUITE_P(, FindAbstractMonitor, testing::Bool(),
                         [](const auto& subject) { return subject.param ? "padded" : "tight"; });

/// A fake process with namespaces, a listening UNIX socket @name and a listening TCP port 4444.
class FindMonitorInNamespace : public FindMonitor {
protected:
  FindMonitorInNamespace() {
    std::filesystem::create_directories(process_ + "/fd");
    std::filesystem::create_directories(process_ + "/net");
    std::filesystem::create_directories(process_ + "/ns");
    std::filesystem::create_directories(proc_ + "/self/ns");
    std::filesystem::create_symlink("net:[1]", proc_ + "/self/ns/net");
    std::filesystem::create_symlink("socket:[4711]", process_ + "/fd/5");
    std::filesystem::create_symlink("socket:[4712]", process_ + "/fd/6");
    std::ofstream{process_ + "/net/unix"} << "0: 2 0 00010000 0001 01 4711 @name\n";
    std::ofstream{process_ + "/net/tcp"} << "  sl  local_address rem_address   st\n"
                                         << tcp_line("0100007F:115C", "00000000:0000", "0A", 4712);
  }

  static std::string tcp_line(const std::string& local, const std::string& remote, const std::string& state,
                              unsigned inode) {
    return fmt::format("   0: {} {} {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 100 0\n",
                       local, remote, state, inode);
  }

  void in_namespace(const std::string& net) const {
    std::filesystem::create_symlink(net, process_ + "/ns/net");
  }
  Result<std::string> find_tcp(const std::string& host, std::uint16_t first, std::uint16_t last) const {
    MonitorSocket socket;
    socket.tcp = TcpPlace{host, first, last};
    return find_monitor(socket, 77, proc_);
  }

  const std::string proc_ = directory_ / "proc";
  const std::string process_ = proc_ + "/77";
  const MonitorSocket abstract_{.path = "name", .fd = {}, .abstract = true};
};

TEST_F(FindMonitorInNamespace, OurNetwork_IsUsed) {
  in_namespace("net:[1]");
  EXPECT_EQ(find_monitor(abstract_, 77, proc_), "abstract:name");
  EXPECT_EQ(find_tcp("127.0.0.1", 4444, 4444), "tcp:127.0.0.1:4444");
}

TEST_F(FindMonitorInNamespace, OtherNetwork_IsReported) {
  in_namespace("net:[2]");
  for (const auto& found : {find_monitor(abstract_, 77, proc_), find_tcp("127.0.0.1", 4444, 4444)}) {
    expect_error(found, ErrorKind::unsupported, "another network namespace");
    EXPECT_THAT(found.error().text, HasSubstr("-qmp unix:PATH,server=on,wait=off"));
  }
}

TEST_F(FindMonitorInNamespace, SocketsOfOtherProcesses_AreNotFound) {
  std::filesystem::remove(process_ + "/fd/5");
  std::filesystem::remove(process_ + "/fd/6");
  expect_error(find_monitor(abstract_, 77, proc_), ErrorKind::not_found, "does not listen");
  expect_error(find_tcp("127.0.0.1", 4444, 4444), ErrorKind::not_found, "does not listen");
}

TEST_F(FindMonitorInNamespace, TcpOfOtherAddressOrPort_IsNotFound) {
  for (const char* host : {"127.0.0.2", "::1", ""}) {
    expect_error(find_tcp(host, 4444, 4444), ErrorKind::not_found, "does not listen");
  }
  expect_error(find_tcp("127.0.0.1", 4445, 4450), ErrorKind::not_found, "does not listen");
  EXPECT_EQ(find_tcp("127.0.0.1", 4440, 4450), "tcp:127.0.0.1:4444");
  EXPECT_EQ(find_tcp("localhost", 4444, 4444), "tcp:127.0.0.1:4444");
}

/// A process may listen at addresses of other hosts, too.
TEST_F(FindMonitorInNamespace, TcpOfAnotherHost_IsNotConnectedTo) {
  std::ofstream{process_ + "/net/tcp"} << tcp_line("08080808:115C", "00000000:0000", "0A", 4712);
  for (const char* host : {"8.8.8.8", "dns.google"}) {
    expect_error(find_tcp(host, 4444, 4444), ErrorKind::unsupported, "loopback addresses only");
  }
}

TEST_F(FindMonitorInNamespace, TcpOfAllAddresses_IsReachedByLoopback) {
  std::ofstream{process_ + "/net/tcp"} << "";
  std::ofstream{process_ + "/net/tcp6"} << tcp_line("00000000000000000000000000000000:115C",
                                                    "00000000000000000000000000000000:0000", "0A", 4712);
  EXPECT_EQ(find_tcp("", 4444, 4444), "tcp:[::1]:4444");
  std::ofstream{process_ + "/net/tcp"} << tcp_line("00000000:115C", "00000000:0000", "0A", 4712);
  EXPECT_EQ(find_tcp("", 4444, 4444), "tcp:127.0.0.1:4444");
}

TEST_F(FindMonitorInNamespace, TcpConnection_IsAClientIfItWasAccepted) {
  const std::string address = "tcp:127.0.0.1:4444";
  EXPECT_FALSE(has_client(address, 77, proc_));
  const auto has_row = [&](const std::string& local, const std::string& state, unsigned inode) {
    std::ofstream{process_ + "/net/tcp"} << tcp_line(local, "0100007F:8000", state, inode);
    return has_client(address, 77, proc_);
  };
  EXPECT_TRUE(has_row("0100007F:115C", "01", 4713));
  EXPECT_FALSE(has_row("0100007F:115C", "01", 0)) << "in the listen queue";
  EXPECT_FALSE(has_row("0100007F:115C", "08", 4713)) << "the client has closed it";
  EXPECT_FALSE(has_row("0100007F:115D", "01", 4713)) << "another port";
}

TEST_F(FindMonitor, RealTcpListener_IsFoundAndCanBeConnectedTo) {
  const auto bound = test::bind_to_free_port();
  MonitorSocket monitor;
  monitor.tcp =
      TcpPlace{"127.0.0.1", static_cast<std::uint16_t>(bound.port), static_cast<std::uint16_t>(bound.port)};
  expect_error(find_monitor(monitor, ::getpid()), ErrorKind::not_found, "does not listen");
  ASSERT_EQ(::listen(bound.socket.get(), 1), 0);
  const auto found = find_monitor(monitor, ::getpid());
  ASSERT_EQ(found, fmt::format("tcp:127.0.0.1:{}", bound.port));
  const auto client = connect_to_monitor(*found, std::chrono::steady_clock::now() + std::chrono::seconds{5});
  ASSERT_TRUE(client) << client.error().message();
  EXPECT_FALSE(has_client(*found, ::getpid())) << "not accepted yet";
  const UniqueFd accepted{::accept(bound.socket.get(), nullptr, nullptr)};
  EXPECT_TRUE(has_client(*found, ::getpid()));
}

} // namespace
} // namespace vmemfs::qemu
