// SPDX-License-Identifier: MIT
// Peers that try to end the daemon, to take its time, or to pass for another VM.
#include "drivers/kvmi/attached_vm.h"
#include "drivers/kvmi/hub/hub.h"
#include "drivers/kvmi/raw_peer.h"
#include "support/forked_child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace vmemfs::kvmi {
namespace {

using kvmi_simulator::FaultKind;

constexpr std::uint16_t kTreeRead = 17;

HubSettings settings_at(const std::string& path) {
  return {.endpoint = {.path = path},
          .handshake = std::chrono::seconds{60},
          .timeout = std::chrono::seconds{60},
          .reconnect = std::chrono::seconds{60}};
}

Hub::Clock::time_point soon() { return Hub::Clock::now() + std::chrono::seconds{30}; }

/// Else the exception would end the daemon, on the hub's thread.
TEST(HostilePeer, ConnectionForWhichThereIsNoThread_IsClosed_AndTheHubGoesOn) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root to be a user without other threads";
  }
  EXPECT_TRUE(unprivileged([] {
    const test::TempDir dir;
    const auto hub = Hub::open(settings_at(dir / "kvmi.sock"));
    rlimit usual{};
    ::getrlimit(RLIMIT_NPROC, &usual);
    const rlimit none{0, usual.rlim_max};
    if (!hub || ::setrlimit(RLIMIT_NPROC, &none) != 0) {
      return false;
    }
    const RawPeer first{dir / "kvmi.sock"};
    const bool closed = first.greet(RawGreeting::of("first", 1)) && first.is_closed();
    const bool refused = !Hub::open(settings_at(dir / "other.sock"));
    ::setrlimit(RLIMIT_NPROC, &usual);
    const RawPeer second{dir / "kvmi.sock"};
    return closed && refused && second.greet(RawGreeting::of("second", 2)) &&
           (*hub)->wait_for("second", soon()).has_value() && (*hub)->guests().size() == 1;
  }));
}

TEST(HostilePeer, EventsWithoutEnd_EndTheConnection_AndAFewAreContinued) {
  AttachedVm vm;
  ASSERT_TRUE(vm.attach("domain=simulated,timeout=60s,wait=60s,reconnect=60s"));
  vm.simulator().add_fault({.kind = FaultKind::event_flood, .id = kTreeRead, .value = 200});
  EXPECT_TRUE(vm.reads());
  EXPECT_EQ(vm.simulator().seen().connections, 1U);
  vm.simulator().add_fault({.kind = FaultKind::event_flood, .id = kTreeRead, .value = 20'000});
  static_cast<void>(vm.reads());
  EXPECT_TRUE(test::eventually([&] { return vm.simulator().seen().connections == 2; }));
  EXPECT_TRUE(test::eventually([&] { return vm.reads(); }));
}

/// A VM sends its greeting at once: it must not wait for those who never send theirs.
TEST(HostilePeer, SilentConnections_KeepNoVmOut) {
  const test::TempDir dir;
  const auto hub = Hub::open(settings_at(dir / "kvmi.sock")); // which waits a minute for a greeting
  ASSERT_TRUE(hub);
  std::vector<RawPeer> silent;
  for (std::size_t i = 0; i < 500; ++i) {
    silent.emplace_back(dir / "kvmi.sock");
  }
  const RawPeer good{dir / "kvmi.sock"};
  EXPECT_TRUE(good.greet(RawGreeting::of("good", 3)));
  EXPECT_TRUE((*hub)->wait_for("good", Hub::Clock::now() + std::chrono::seconds{10}));
  EXPECT_TRUE(silent.front().is_closed());
}

/// A tenant who chooses the name of his VM must not keep another VM from being found by its uuid.
TEST(HostilePeer, VmNamedAsTheUuidOfAnother_DoesNotHideIt) {
  const test::TempDir dir;
  const auto hub = Hub::open(settings_at(dir / "kvmi.sock"));
  ASSERT_TRUE(hub);
  const std::string uuid = "02020202-0202-0202-0202-020202020202";
  const RawPeer liar{dir / "kvmi.sock"};
  const RawPeer victim{dir / "kvmi.sock"};
  ASSERT_TRUE(liar.greet(RawGreeting::of(uuid, 1)));
  ASSERT_TRUE(victim.greet(RawGreeting::of("victim", 2)));
  ASSERT_TRUE(test::eventually([&] { return (*hub)->guests().size() == 2; }));
  const auto found = (*hub)->wait_for(uuid, soon());
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ((*found)->greeting().name, "victim");
}

/// VMs without a uuid and a start time look alike; that one of them goes on where another one ended would
/// show the memory of one as that of the other.
TEST(HostilePeer, VmsWithoutAnIdentity_AreNotTakenForEachOther) {
  const test::TempDir dir;
  const auto hub = Hub::open(settings_at(dir / "kvmi.sock"));
  ASSERT_TRUE(hub);
  const RawGreeting none = RawGreeting::of("", 0);
  std::optional<RawPeer> first{dir / "kvmi.sock"};
  ASSERT_TRUE(first->greet(none));
  ASSERT_TRUE(test::eventually([&] { return (*hub)->guests().size() == 1; }));
  const auto link = (*hub)->guests().front();
  const auto session = link->session();
  const auto connect = [&] {
    const RawPeer other{dir / "kvmi.sock"};
    const bool greeted = other.greet(none);
    return ChildValues{greeted && other.is_closed() ? 1U : 0U};
  };
  ForkedChild child{connect};
  EXPECT_EQ(child.value(0), 1U);
  child.kill(); // it has a copy of the first one's socket
  EXPECT_EQ(link->session(), session);
  // The same process may come back.
  first.reset();
  first.emplace(dir / "kvmi.sock");
  ASSERT_TRUE(first->greet(none));
  EXPECT_TRUE(test::eventually([&] { return link->session() != nullptr && link->session() != session; }));
  // Once the first one is lost, another process is another VM.
  first.reset();
  EXPECT_TRUE(test::eventually([&] { return link->session() == nullptr; }));
  std::optional<RawPeer> kept;
  const ForkedChild later{[&] {
    kept.emplace(dir / "kvmi.sock");
    return ChildValues{kept->greet(none) ? 1U : 0U};
  }};
  EXPECT_EQ(later.value(0), 1U);
  EXPECT_TRUE(test::eventually([&] { return link->state() == GuestLink::State::gone; }));
  ASSERT_TRUE(test::eventually([&] { return (*hub)->guests().size() == 1; }));
  EXPECT_NE((*hub)->guests().front(), link);
}

TEST(HostilePeer, VmThatConnectsAgainAndAgain_IsNotFollowedEachTime) {
  const test::TempDir dir;
  const auto hub = Hub::open(settings_at(dir / "kvmi.sock"));
  ASSERT_TRUE(hub);
  std::atomic<unsigned> connects{0};
  const RawGreeting greeting = RawGreeting::of("storm", 7);
  std::optional<RawPeer> peer{dir / "kvmi.sock"};
  ASSERT_TRUE(peer->greet(greeting));
  const auto link = (*hub)->wait_for("storm", soon()).value();
  ASSERT_TRUE(link->subscribe(
      [&](GuestLink::State state) { connects += state == GuestLink::State::connected ? 1 : 0; }));
  for (unsigned i = 0; i < 3 * Hub::kMaxConnects; ++i) {
    peer.emplace(dir / "kvmi.sock");
    ASSERT_TRUE(peer->greet(greeting));
  }
  const RawPeer other{dir / "kvmi.sock"};
  ASSERT_TRUE(other.greet(RawGreeting::of("other", 8)));
  EXPECT_TRUE((*hub)->wait_for("other", soon())); // all before it are done
  EXPECT_LE(connects, Hub::kMaxConnects);
  link->unsubscribe();
}

/// The search for the memory of a slow VM takes many round trips.
TEST(HostilePeer, VmThatAnswersSlowly_DoesNotHoldUpItsDetach) {
  AttachedVm vm{{.has_query = false}};
  ASSERT_TRUE(vm.attach("domain=simulated,timeout=60s,wait=60s,reconnect=60s"));
  vm.simulator().add_fault({.kind = FaultKind::late, .id = kTreeRead, .value = 3000, .times = 100'000});
  const unsigned before = vm.simulator().seen().reads;
  vm.guest().plug_ram({0x100000000, 0x200000});
  ASSERT_TRUE(test::eventually([&] { return vm.simulator().seen().reads > before; }));
  const auto begin = std::chrono::steady_clock::now();
  vm.detach();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds{2500});
}

} // namespace
} // namespace vmemfs::kvmi
