// SPDX-License-Identifier: MIT
// Connections of VMs: the socket's file and rights, greetings, keys, and VMs that leave and come back.
#include "drivers/kvmi/attached_vm.h"
#include "drivers/kvmi/hub/hub.h"
#include "support/forked_child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>

namespace vmemfs::kvmi {
namespace {

using kvmi_simulator::Dialect;
using kvmi_simulator::Guest;
using kvmi_simulator::GuestOptions;
using kvmi_simulator::Simulator;
using testing::HasSubstr;

HubSettings settings_at(const std::string& path) {
  return {.endpoint = {.path = path},
          .handshake = std::chrono::seconds{60},
          .timeout = std::chrono::seconds{60},
          .reconnect = std::chrono::seconds{60}};
}

std::shared_ptr<Guest> guest(const std::string& name, std::uint8_t number = 1) {
  return std::make_shared<Guest>(GuestOptions{.name = name, .number = number, .ram = {{0, 1 << 20}}});
}

Hub::Clock::time_point soon() { return Hub::Clock::now() + std::chrono::seconds{30}; }

/// -1: it was refused.
UniqueFd connect_to(const std::string& path) {
  UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0
             ? std::move(socket)
             : UniqueFd{};
}

/// Whether the other side closes the connection.
bool is_closed(int socket) {
  char byte = 0;
  return ::recv(socket, &byte, 1, 0) <= 0;
}

TEST(KvmiSocket, IsOfItsUserAlone_AndRemovedAtTheEnd) {
  const test::TempDir dir;
  const std::string path = dir / "kvmi.sock";
  const mode_t before = ::umask(0);
  {
    const auto hub = Hub::open(settings_at(path));
    ASSERT_TRUE(hub) << hub.error().message();
    struct stat file {};
    ASSERT_EQ(::lstat(path.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode, mode_t{S_IFSOCK | 0600});
  }
  ::umask(before);
  EXPECT_FALSE(test::exists(path));
}

TEST(KvmiSocket, ForeignFiles_AreNeverRemoved) {
  const test::TempDir dir;
  const std::string path = dir / "file";
  test::write_file(path, "precious");
  const auto refused = Hub::open(settings_at(path));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::invalid);
  EXPECT_EQ(test::read_file(path), "precious");
  // One that has replaced ours stays as well.
  const std::string socket = dir / "kvmi.sock";
  {
    const auto hub = Hub::open(settings_at(socket));
    ASSERT_TRUE(hub);
    ::unlink(socket.c_str());
    test::write_file(socket, "another");
  }
  EXPECT_EQ(test::read_file(socket), "another");
}

TEST(KvmiSocket, SocketInUse_IsLeftAlone_AndAnUnusedOneReplaced) {
  const test::TempDir dir;
  const std::string path = dir / "kvmi.sock";
  {
    const auto first = Hub::open(settings_at(path));
    ASSERT_TRUE(first);
    const auto second = Hub::open(settings_at(path));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, ErrorKind::busy);
    EXPECT_TRUE(test::exists(path));
  }
  const UniqueFd left{::socket(AF_UNIX, SOCK_STREAM, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  ASSERT_EQ(::bind(left.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_TRUE(Hub::open(settings_at(path))); // bound, but nobody listens
}

/// Even if the file's mode lets them in.
TEST(KvmiSocket, OtherUsers_AreRefused) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root to be another user";
  }
  const test::TempDir dir;
  const std::string path = dir / "kvmi.sock";
  const auto hub = Hub::open(settings_at(path));
  ASSERT_TRUE(hub);
  ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
  EXPECT_TRUE(unprivileged([&] { return !connect_to(path); }));
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  EXPECT_TRUE(unprivileged([&] {
    const UniqueFd socket = connect_to(path);
    return socket && is_closed(socket.get());
  }));
}

TEST(KvmiSocket, PathThatIsTooLong_IsRefused) {
  const auto hub = Hub::open(settings_at("/tmp/" + std::string(200, 'x')));
  ASSERT_FALSE(hub);
  EXPECT_EQ(hub.error().kind, ErrorKind::invalid);
}

TEST(KvmiHub, DamagedGreetings_AreClosed_AndOthersAreServed) {
  const test::TempDir dir;
  const std::string path = dir / "kvmi.sock";
  auto settings = settings_at(path);
  settings.handshake = std::chrono::seconds{1};
  const auto hub = Hub::open(settings);
  ASSERT_TRUE(hub);
  const UniqueFd silent = connect_to(path);
  const UniqueFd small = connect_to(path);
  const UniqueFd huge = connect_to(path);
  const UniqueFd slow = connect_to(path);
  const std::uint32_t sizes[]{31, 65537, 96};
  ASSERT_EQ(::send(small.get(), &sizes[0], 4, 0), 4);
  ASSERT_EQ(::send(huge.get(), &sizes[1], 4, 0), 4);
  ASSERT_EQ(::send(slow.get(), &sizes[2], 4, 0), 4);
  Simulator good{guest("good"), {.socket = path}};
  EXPECT_TRUE((*hub)->wait_for("good", soon()));
  EXPECT_TRUE(is_closed(small.get()));
  EXPECT_TRUE(is_closed(huge.get()));
  EXPECT_TRUE(is_closed(silent.get()));
  EXPECT_TRUE(is_closed(slow.get()));
  EXPECT_EQ((*hub)->guests().size(), 1U);
}

TEST(KvmiHub, GreetingsOfOtherSizes_AreRead) {
  const test::TempDir dir;
  const auto hub = Hub::open(settings_at(dir / "kvmi.sock"));
  ASSERT_TRUE(hub);
  Simulator small{guest("", 1), {.socket = dir / "kvmi.sock", .greeting_size = 32}};
  Simulator large{guest("large", 2), {.socket = dir / "kvmi.sock", .greeting_size = 65536}};
  EXPECT_TRUE((*hub)->wait_for("11111111-2222-3333-4444-555555555501", soon()));
  EXPECT_TRUE((*hub)->wait_for("large", soon()));
}

TEST(KvmiHub, TooManyConnections_AreClosed_AndTheRestWorks) {
  const test::TempDir dir;
  const std::string path = dir / "kvmi.sock";
  auto settings = settings_at(path);
  settings.handshake = std::chrono::seconds{2};
  const auto hub = Hub::open(settings);
  ASSERT_TRUE(hub);
  std::vector<UniqueFd> silent;
  for (std::size_t i = 0; i < 2 * Hub::kMaxHandshakes; ++i) {
    silent.push_back(connect_to(path));
  }
  Simulator good{guest("good"), {.socket = path}};
  EXPECT_TRUE((*hub)->wait_for("good", soon()));
}

TEST(KvmiHub, Key_IsProven_AndAWrongOneGivesTheReason) {
  // sha1sum of "abc"
  const std::array<std::uint8_t, 20> hash{0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
                                          0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d};
  const test::TempDir dir;
  test::write_file(dir / "right", "abc");
  test::write_file(dir / "wrong", "abd");
  test::write_file(dir / "empty", "");
  {
    AttachedVm vm{{.hash = hash}};
    const auto attached = vm.attach(fmt::format("domain=simulated,wait=60s,key={}", dir / "right"));
    ASSERT_TRUE(attached) << attached.error().message();
    EXPECT_TRUE(vm.reads());
  }
  AttachedVm vm{{.hash = hash}};
  const auto refused = vm.attach(fmt::format("domain=simulated,wait=60s,key={}", dir / "wrong"));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, HasSubstr("key="));
  EXPECT_FALSE(vm.attach(fmt::format("domain=simulated,key={}", dir / "empty")));
  EXPECT_FALSE(vm.attach(fmt::format("domain=simulated,key={}", dir / "none")));
}

TEST(KvmiHub, ManyVms_AreFoundByNameAndUuid) {
  const test::TempDir dir;
  const auto hub = Hub::open(settings_at(dir / "kvmi.sock"));
  ASSERT_TRUE(hub);
  std::vector<std::unique_ptr<Simulator>> simulators;
  for (std::uint8_t i = 1; i <= 20; ++i) {
    simulators.push_back(std::make_unique<Simulator>(guest(fmt::format("vm{}", i), i),
                                                     kvmi_simulator::Options{.socket = dir / "kvmi.sock"}));
  }
  simulators.push_back(
      std::make_unique<Simulator>(guest("vm3", 33), kvmi_simulator::Options{.socket = dir / "kvmi.sock"}));
  EXPECT_TRUE(test::eventually([&] { return (*hub)->guests().size() == 21; }));
  EXPECT_EQ((*hub)->wait_for("vm7", soon()).value()->greeting().uuid, "11111111-2222-3333-4444-555555555507");
  EXPECT_EQ((*hub)->wait_for("11111111-2222-3333-4444-55555555550A", soon()).value()->greeting().name,
            "vm10");
  EXPECT_EQ((*hub)->wait_for("vm3", soon()).error().kind, ErrorKind::invalid); // two have the name
  EXPECT_EQ((*hub)->wait_for("other", Hub::Clock::now()).error().kind, ErrorKind::not_found);
}

TEST(KvmiHub, VmThatComesBack_IsTheSame_AndOneThatDoesNotIsGone) {
  const test::TempDir dir;
  auto settings = settings_at(dir / "kvmi.sock");
  settings.reconnect = std::chrono::seconds{10};
  const auto hub = Hub::open(settings);
  ASSERT_TRUE(hub);
  Simulator simulator{guest("vm"), {.socket = dir / "kvmi.sock"}};
  const auto link = (*hub)->wait_for("vm", soon()).value();
  for (int i = 0; i < 3; ++i) {
    const auto before = link->session();
    simulator.disconnect();
    EXPECT_TRUE(test::eventually([&] { return link->session() != nullptr && link->session() != before; }));
  }
  simulator.end();
  EXPECT_TRUE(test::eventually([&] { return link->state() == GuestLink::State::gone; }));
  EXPECT_TRUE((*hub)->guests().empty());
}

/// As the target of a migration does: it must not take the source's place, but follows it.
TEST(KvmiHub, SecondConnectionOfAVm_WaitsForTheEndOfTheFirst) {
  const test::TempDir dir;
  const auto hub = Hub::open(settings_at(dir / "kvmi.sock"));
  ASSERT_TRUE(hub);
  Simulator first{guest("vm"), {.socket = dir / "kvmi.sock"}};
  const auto link = (*hub)->wait_for("vm", soon()).value();
  const auto session = link->session();
  Simulator second{guest("vm"), {.socket = dir / "kvmi.sock"}};
  EXPECT_TRUE(test::eventually([&] { return second.seen().connections == 1; }));
  EXPECT_EQ(link->session(), session);
  EXPECT_EQ((*hub)->guests().size(), 1U);
  {
    Simulator brief{guest("vm"), {.socket = dir / "kvmi.sock"}};
    EXPECT_TRUE(test::eventually([&] { return brief.seen().connections >= 1; }));
  }
  EXPECT_EQ(link->session(), session);
  EXPECT_FALSE(session->ended());
  EXPECT_TRUE(
      test::eventually([&] { return second.connected(); })); // the brief one took its place for a moment
  first.end();
  EXPECT_TRUE(test::eventually([&] { return link->session() != nullptr && link->session() != session; }));
  EXPECT_EQ(link->state(), GuestLink::State::connected);
}

TEST(KvmiHub, MoreVmsThanTheLimit_AreClosed_AndTheRestWorks) {
  const test::TempDir dir;
  const auto hub = Hub::open(settings_at(dir / "kvmi.sock"));
  ASSERT_TRUE(hub);
  std::vector<std::unique_ptr<Simulator>> simulators;
  for (std::size_t i = 0; i < Hub::kMaxVms; ++i) {
    simulators.push_back(
        std::make_unique<Simulator>(guest(fmt::format("vm{}", i), static_cast<std::uint8_t>(i)),
                                    kvmi_simulator::Options{.socket = dir / "kvmi.sock"}));
  }
  EXPECT_TRUE(test::eventually([&] { return (*hub)->guests().size() == Hub::kMaxVms; }));
  Simulator extra{guest("extra", 200), {.socket = dir / "kvmi.sock"}};
  EXPECT_TRUE(test::eventually([&] { return extra.seen().connections >= 2; })); // it tries again and again
  EXPECT_EQ((*hub)->guests().size(), Hub::kMaxVms);
  for (const auto& simulator : simulators) {
    EXPECT_EQ(simulator->seen().connections, 1U);
  }
}

/// The same path, but another machine: what was attached is gone, and nothing of the other is shown as it.
TEST(KvmiHub, ReconnectOfAnotherVm_IsNotTheSame) {
  AttachedVm vm{{.reconnects = false}};
  Simulator simulator{guest("simulated", 2),
                      {.socket = vm.socket(), .reconnect = std::chrono::milliseconds{300}}};
  const auto attached =
      vm.attach("domain=11111111-2222-3333-4444-555555555501,timeout=60s,wait=60s,reconnect=2s");
  ASSERT_TRUE(attached) << attached.error().message();
  vm.simulator().end();
  EXPECT_TRUE(test::eventually([&] { return vm.reports().gone.load(); }));
  EXPECT_EQ(vm.read(0, 16).failure, ErrorKind::vm_gone);
  EXPECT_TRUE(test::eventually([&] { return simulator.connected(); }));
}

TEST(KvmiHub, TwoDriversOfOneVm_TheSecondIsRefused) {
  AttachedVm vm;
  ASSERT_TRUE(vm.attach());
  EXPECT_FALSE(vm.attach()); // the socket is in use, outside of a mount
  EXPECT_TRUE(vm.reads());
}

} // namespace
} // namespace vmemfs::kvmi
