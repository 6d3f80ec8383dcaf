// SPDX-License-Identifier: MIT
// Attacks with monitors of other processes. The monitor is that of this process; the other process is a
// child.
#include "drivers/qemu/monitor/monitor.h"
#include "drivers/qemu/monitor/monitor_owner.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "support/forked_child.h"
#include "support/free_port.h"
#include "support/processes.h"
#include "tests/drivers/qemu_protocol/fake_monitor.h"
#include "tests/drivers/qemu_protocol/unix_listener.h"

#include <atomic>
#include <chrono>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;

ChildValues nothing() { return {}; }

/// Both ends of a connection, and the listening socket.
struct Connection {
  test::TempDir directory;
  UniqueFd listener;
  UniqueFd ours;
  UniqueFd theirs;

  Connection() {
    const std::string path = directory / "socket";
    listener = listen_at(path);
    ours.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    EXPECT_EQ(::connect(ours.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    theirs.reset(::accept(listener.get(), nullptr, nullptr));
    EXPECT_TRUE(theirs);
  }
};

/// The same on TCP.
struct TcpConnection {
  UniqueFd listener;
  UniqueFd ours;
  UniqueFd theirs;

  TcpConnection() {
    auto bound = test::bind_to_free_port();
    listener = std::move(bound.socket);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    auto connected = connect_to_monitor(fmt::format("tcp:127.0.0.1:{}", bound.port), Clock::now() + 5s);
    EXPECT_TRUE(connected);
    ours = std::move(*connected);
    theirs.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(theirs);
  }

  using Clock = std::chrono::steady_clock;
};

TEST(MonitorOwner, TcpOfProcessThatAccepted_IsTheOwner) {
  const TcpConnection connection;
  const auto checked = check_monitor_owner(connection.ours.get(), 0, *process_of(::getpid()));
  EXPECT_TRUE(checked) << checked.error().message();
}

TEST(MonitorOwner, TcpOfOtherProcess_IsRefused) {
  const ForkedChild other{nothing}; // has connections of its own ends only
  const TcpConnection connection;
  const auto checked = check_monitor_owner(connection.ours.get(), 0, *other.process());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, ErrorKind::permission) << checked.error().message();
  EXPECT_NE(checked.error().text.find("does not belong to process"), std::string::npos);
}

/// As a manager's that hands sockets down; but our own end of the connection proves nothing.
TEST(MonitorOwner, TcpSocketThatWasHandedDown_TheirEndCounts) {
  const TcpConnection connection;
  const ForkedChild holder{nothing};
  const auto held = check_monitor_owner(connection.ours.get(), 0, *holder.process());
  EXPECT_TRUE(held) << held.error().message();
  const ForkedChild without{[&]() -> ChildValues {
    ::close(connection.theirs.get());
    return {};
  }};
  const auto checked = check_monitor_owner(connection.ours.get(), 0, *without.process());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, ErrorKind::permission);
}

TEST(MonitorOwner, ClosedTcpConnection_IsNotARefusal) {
  const ForkedChild owner{nothing};
  TcpConnection connection;
  connection.theirs.reset();
  const auto checked = check_monitor_owner(connection.ours.get(), 0, *owner.process());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, ErrorKind::source_failed);
}

TEST(MonitorOwner, ProcessThatAccepted_IsTheOwner) {
  const Connection connection;
  const auto checked = check_monitor_owner(connection.ours.get(), ::getpid(), *process_of(::getpid()));
  EXPECT_TRUE(checked) << checked.error().message();
}

/// As a manager does that opens the socket and hands it down.
TEST(MonitorOwner, SocketOfAManager_IsKnownByItsHolder) {
  const Connection connection;
  const ForkedChild holder{nothing}; // has inherited the accepted socket
  const auto checked = check_monitor_owner(connection.ours.get(), ::getpid(), *holder.process());
  EXPECT_TRUE(checked) << checked.error().message();
}

TEST(MonitorOwner, OtherProcess_IsRefused) {
  const ForkedChild other{nothing};
  for (const pid_t listener : {::getpid(), pid_t{0}}) { // 0: of another pid namespace
    const Connection connection;
    const auto checked = check_monitor_owner(connection.ours.get(), listener, *other.process());
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().kind, ErrorKind::permission);
  }
}

/// SO_PEERCRED keeps the number of a process that has ended, which another one may have by now.
TEST(MonitorOwner, ReusedNumberOfTheListener_IsRefused) {
  const ForkedChild other{nothing};
  const Connection connection;
  const auto checked = check_monitor_owner(connection.ours.get(), other.pid(), *other.process());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, ErrorKind::permission);
}

/// As a process that is being killed looks: its open files go first.
TEST(MonitorOwner, ClosedConnection_IsNotARefusal) {
  const ForkedChild owner{nothing};
  Connection connection;
  connection.theirs.reset();
  const auto checked = check_monitor_owner(connection.ours.get(), owner.pid(), *owner.process());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, ErrorKind::source_failed);
}

TEST(MonitorOwner, ProcessThatEnded_IsGone) {
  ForkedChild other{nothing};
  const auto process = other.process();
  const Connection connection;
  other.kill();
  const auto checked = check_monitor_owner(connection.ours.get(), ::getpid(), *process);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, ErrorKind::vm_gone);
}

/// As a hostile process does, so that looking at all of them takes long.
ChildValues open_very_many_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  std::uint64_t count = 0;
  while (count <= kMaxOwnerFiles && ::dup(STDIN_FILENO) >= 0) {
    ++count;
  }
  return {count};
}

TEST(MonitorOwner, ProcessWithVeryManyFiles_IsRefused) {
  const ForkedChild hoarder{open_very_many_files};
  if (hoarder.value(0) <= kMaxOwnerFiles) {
    GTEST_SKIP() << "the limit on open files (ulimit -Hn) is too low";
  }
  const Connection connection;
  const auto checked = check_monitor_owner(connection.ours.get(), hoarder.pid(), *hoarder.process());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, ErrorKind::permission);
  EXPECT_NE(checked.error().text.find("open files"), std::string::npos) << checked.error().text;
}

TEST(MonitorOwner, MonitorOfAnotherProcess_GetsNoCommand) {
  const ForkedChild attacker{nothing};
  std::atomic<bool> commanded = false;
  const FakeMonitor victim{[&](FakePeer& peer) {
    peer.send(FakePeer::kGreeting);
    commanded = commanded || !peer.read_line().empty();
  }};
  for (const bool keep : {false, true}) {
    Monitor monitor{victim.path(), attacker.process(), 5s, keep};
    for (int i = 0; i < 2; ++i) { // at each connection
      const auto session = monitor.session();
      ASSERT_FALSE(session);
      EXPECT_EQ(session.error().kind, ErrorKind::permission) << session.error().message();
      EXPECT_NE(session.error().text.find(std::to_string(attacker.pid())), std::string::npos);
    }
  }
  EXPECT_FALSE(commanded);
}

} // namespace
} // namespace vmemfs::qemu
