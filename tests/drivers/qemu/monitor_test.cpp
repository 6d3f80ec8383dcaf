// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/monitor.h"
#include "drivers/qemu_protocol/hmp_registers.h"
#include "drivers/qemu_protocol/mtree.h"
#include "support/processes.h"
#include "tests/drivers/qemu/qemu_child.h"
#include "tests/drivers/qemu_protocol/fake_monitor.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kPlenty = 20s;

/// Collects events and waits for them.
class EventLog {
public:
  void add(const QmpEvent& event) {
    const std::scoped_lock lock{mutex_};
    names_.push_back(event.name);
    changed_.notify_all();
  }

  [[nodiscard]] bool wait_for(const std::string& name) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, kPlenty, [&] { return std::ranges::find(names_, name) != names_.end(); });
  }

  [[nodiscard]] std::vector<std::string> names() {
    const std::scoped_lock lock{mutex_};
    return names_;
  }

  QmpEventHandler handler() {
    return [this](const QmpEvent& event) { add(event); };
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> names_;
};

TEST(Monitor, Session_ConnectsOnceAndDisconnects) {
  std::atomic<int> connections = 0;
  const FakeMonitor fake{[&](FakePeer& peer) {
    ++connections;
    peer.greet();
    for (int i = 0; i < 2; ++i) {
      peer.answer(R"({"running": true, "status": "running"})");
    }
    peer.wait_for_end();
  }};
  Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, false};
  EXPECT_EQ(connections, 0);
  {
    auto session = monitor.session();
    ASSERT_TRUE(session) << session.error().message();
    EXPECT_TRUE(session->run_status());
    EXPECT_TRUE(session->run_status());
  }
  EXPECT_EQ(connections, 1);
  EXPECT_TRUE(monitor.run_status());
  EXPECT_EQ(connections, 2);
}

TEST(Monitor, SessionWhileLocked_TimesOut) {
  const FakeMonitor fake{[](FakePeer& peer) {
    peer.greet();
    peer.wait_for_end();
  }};
  Monitor monitor{fake.path(), process_of(::getpid()), 200ms, false};
  const auto session = monitor.session(MonitorTime{kPlenty});
  ASSERT_TRUE(session) << session.error().message();
  std::jthread other{[&] {
    const auto second = monitor.session();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, ErrorKind::busy);
    EXPECT_THAT(second.error().text, testing::HasSubstr("in use by other sessions"));
  }};
}

TEST(Monitor, ContWithoutEffect_TimesOut) {
  const FakeMonitor fake{[](FakePeer& peer) {
    peer.greet();
    peer.answer(R"({"running": false, "status": "paused"})");
    peer.answer("{}");
    for (int i = 0; i < 10000; ++i) {
      peer.answer(R"({"running": false, "status": "paused"})");
    }
  }};
  Monitor monitor{fake.path(), process_of(::getpid()), 2s, false};
  const auto resumed = monitor.cont();
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().kind, ErrorKind::timed_out);
}

/// Answers with these states in turn, and returns the commands other than query-status.
class ScriptedStates {
public:
  explicit ScriptedStates(std::vector<std::string> states) : states_{std::move(states)} {}

  [[nodiscard]] std::vector<std::string> commands() {
    const std::scoped_lock lock{mutex_};
    return commands_;
  }
  void serve(FakePeer& peer) {
    peer.greet();
    for (std::string line = peer.read_line(); !line.empty(); line = peer.read_line()) {
      std::string answer = "{}";
      if (line.find("query-status") != std::string::npos) {
        const std::string& state = states_[std::min(next_++, states_.size() - 1)];
        answer = fmt::format(R"({{"running": {}, "status": "{}"}})", state == "running", state);
      } else {
        const std::scoped_lock lock{mutex_};
        commands_.emplace_back(line.find("\"stop\"") != std::string::npos ? "stop" : "cont");
      }
      peer.send(fmt::format("{{\"return\": {}, \"id\": {}}}\n", answer, id_of(line)));
    }
  }

private:
  const std::vector<std::string> states_;
  std::size_t next_ = 0;
  std::mutex mutex_;
  std::vector<std::string> commands_;
};

TEST(Monitor, Stop_InAPassingState_WaitsForItsEnd) {
  for (const std::string passing : {"save-vm", "restore-vm", "finish-migrate", "colo"}) {
    ScriptedStates states{{passing, passing, "running", "paused"}};
    const FakeMonitor fake{[&](FakePeer& peer) { states.serve(peer); }};
    Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, false};
    const auto stopped = monitor.stop();
    ASSERT_TRUE(stopped) << stopped.error().message();
    EXPECT_EQ(stopped->detail, "paused");
    EXPECT_THAT(states.commands(), testing::ElementsAre("stop")) << passing;
  }
}

TEST(Monitor, PassingStateThatLasts_IsBusyInWords) {
  ScriptedStates states{{"finish-migrate"}};
  const FakeMonitor fake{[&](FakePeer& peer) { states.serve(peer); }};
  Monitor monitor{fake.path(), process_of(::getpid()), 2s, false};
  for (const auto& done : {monitor.stop(), monitor.cont()}) {
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, ErrorKind::busy);
    EXPECT_THAT(done.error().text, testing::HasSubstr("finish-migrate"));
  }
  EXPECT_TRUE(states.commands().empty());
}

TEST(Monitor, Stop_OfAStoppedVm_SendsNothing) {
  for (const std::string state : {"paused", "prelaunch", "postmigrate", "io-error", "watchdog", "debug",
                                  "guest-panicked", "internal-error", "shutdown"}) {
    ScriptedStates states{{state}};
    const FakeMonitor fake{[&](FakePeer& peer) { states.serve(peer); }};
    Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, false};
    const auto stopped = monitor.stop();
    ASSERT_TRUE(stopped) << stopped.error().message();
    EXPECT_EQ(stopped->detail, state);
    EXPECT_TRUE(states.commands().empty());
  }
}

/// QEMU 9 pauses a suspended guest, which is suspended again after `cont`.
TEST(Monitor, SuspendedGuestOfANewerQemu_IsPausedAndPutBack) {
  ScriptedStates states{{"suspended", "paused", "paused", "suspended"}};
  const FakeMonitor fake{[&](FakePeer& peer) { states.serve(peer); }};
  Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, false};
  const auto stopped = monitor.stop();
  ASSERT_TRUE(stopped) << stopped.error().message();
  EXPECT_EQ(stopped->detail, "paused");
}

TEST(Monitor, Cont_OfARunningVm_SendsNothing) {
  const FakeMonitor fake{[](FakePeer& peer) {
    peer.greet();
    peer.answer(R"({"running": true, "status": "running"})");
    EXPECT_EQ(peer.read_line(), "");
  }};
  Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, false};
  EXPECT_TRUE(monitor.cont());
}

TEST(Monitor, Cont_SuspendedGuest_IsRefused) {
  const FakeMonitor fake{[](FakePeer& peer) {
    peer.greet();
    peer.answer(R"({"running": false, "status": "suspended"})");
    peer.answer("{}");
    peer.answer(R"({"running": false, "status": "suspended"})");
    peer.wait_for_end();
  }};
  Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, false};
  const auto running = monitor.cont();
  ASSERT_FALSE(running);
  EXPECT_EQ(running.error().kind, ErrorKind::unsupported);
}

TEST(Monitor, KeptConnection_Broken_ReconnectsNextTime) {
  std::atomic<int> connections = 0;
  const FakeMonitor fake{[&](FakePeer& peer) {
    const bool first = connections++ == 0;
    peer.greet();
    peer.answer(R"({"running": true, "status": "running"})");
    if (!first) {
      peer.wait_for_end();
    }
  }};
  EventLog events;
  Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, true, events.handler()};
  EXPECT_TRUE(monitor.run_status());
  EXPECT_TRUE(events.wait_for(std::string{Monitor::kConnectionLost}));
  EXPECT_TRUE(monitor.run_status());
  EXPECT_EQ(connections, 2);
}

TEST(Monitor, KeptConnection_TimeOut_StaysConnected) {
  std::atomic<bool> given_up = false;
  const FakeMonitor fake{[&](FakePeer& peer) {
    peer.greet();
    const std::string late = id_of(peer.read_line());
    given_up.wait(false);
    peer.send(R"({"return": {"running": false, "status": "late"}, "id": )" + late + "}\n");
    peer.answer(R"({"running": true, "status": "running"})");
    peer.wait_for_end();
  }};
  Monitor monitor{fake.path(), process_of(::getpid()), 2s, true};
  EXPECT_EQ(monitor.run_status().error().kind, ErrorKind::timed_out);
  given_up = true;
  given_up.notify_all();
  const auto status = monitor.run_status();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->detail, "running");
}

TEST(Monitor, KeptConnection_MalformedData_IsClosed) {
  const FakeMonitor fake{[](FakePeer& peer) {
    peer.greet();
    peer.answer(R"({"running": true, "status": "running"})");
    std::this_thread::sleep_for(100ms);
    peer.send("garbage\n");
    peer.wait_for_end();
  }};
  EventLog events;
  Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, true, events.handler()};
  EXPECT_TRUE(monitor.run_status());
  EXPECT_TRUE(events.wait_for(std::string{Monitor::kConnectionLost}));
}

/// Records the order of QEMU's events and of our commands.
TEST(Monitor, Events_DuringCommands_AreDeliveredInOrder) {
  const FakeMonitor fake{[](FakePeer& peer) {
    peer.greet();
    peer.answer(R"({"running": true, "status": "running"})");
    peer.send(R"({"event": "STOP"})"
              "\n"
              R"({"event": "RESUME"})"
              "\n");
    peer.answer(R"({"running": true, "status": "running"})");
    const std::string command = peer.read_line();
    peer.send(R"({"event": "RESET"})"
              "\n"
              R"({"return": {"running": true, "status": "running"}, "id": )" +
              id_of(command) + "}\n");
    peer.wait_for_end();
  }};
  EventLog events;
  Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, true, events.handler()};
  EXPECT_TRUE(monitor.run_status());
  auto session = monitor.session();
  ASSERT_TRUE(session) << session.error().message();
  EXPECT_TRUE(session->run_status());
  EXPECT_EQ(events.names(), (std::vector<std::string>{"STOP", "RESUME"}));
  EXPECT_TRUE(session->run_status());
  EXPECT_EQ(events.names().back(), "RESET") << "sent before the answer";
}

TEST(Monitor, Events_AlreadyArrived_AreDeliveredBeforeTheSession) {
  const FakeMonitor fake{[](FakePeer& peer) {
    peer.greet();
    for (int i = 0; i < 200; ++i) {
      peer.answer(R"({"running": true, "status": "running"})");
      peer.send(R"({"event": "STOP"})"
                "\n");
      peer.answer(R"({"running": true, "status": "running"})");
    }
    peer.wait_for_end();
  }};
  EventLog events;
  Monitor monitor{fake.path(), process_of(::getpid()), kPlenty, true, events.handler()};
  for (std::size_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(monitor.run_status());
    ASSERT_TRUE(monitor.run_status());
    ASSERT_EQ(events.names().size(), i + 1);
  }
}

TEST(Monitor, KeptMonitor_NeverUsed_Ends) {
  const Monitor monitor{"/nonexistent", process_of(::getpid()), kPlenty, true};
}

class RealMonitor : public testing::Test {
protected:
  void SetUp() override { ASSERT_TRUE(have_qemu()) << "no qemu-system-x86_64; run scripts/bootstrap --test"; }
};

TEST_F(RealMonitor, StopAndCont) {
  QemuChild qemu;
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, false};
  auto status = monitor.run_status();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_TRUE(status->running);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(monitor.stop());
    EXPECT_TRUE(qemu.paused());
  }
  status = monitor.run_status();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->detail, "paused");
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(monitor.cont());
    EXPECT_FALSE(qemu.paused());
  }
}

TEST_F(RealMonitor, IdentityAndProcess) {
  QemuChild qemu{{"-S", "-name", "a b", "-uuid", "6c5f0b7e-0000-4000-8000-000000000001", "-smp", "3"}};
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, false};
  auto session = monitor.session();
  ASSERT_TRUE(session) << session.error().message();
  EXPECT_EQ(session->name(), "a b");
  EXPECT_EQ(session->uuid(), "6c5f0b7e-0000-4000-8000-000000000001");
  EXPECT_EQ(session->vcpus().value().size(), 3U);
  EXPECT_EQ(session->architecture(), "x86_64");
  EXPECT_EQ(session->run_status()->detail, "prelaunch");
  const auto backends = session->memory_backend_ids();
  ASSERT_TRUE(backends);
  EXPECT_THAT(*backends, testing::ElementsAre("pc.ram"));
}

TEST_F(RealMonitor, NoNameAndNoUuid) {
  QemuChild qemu{{"-S"}};
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, false};
  auto session = monitor.session();
  ASSERT_TRUE(session) << session.error().message();
  EXPECT_EQ(session->name(), "");
  EXPECT_EQ(session->uuid(), "");
}

TEST_F(RealMonitor, MemoryAndRegisters_AreParsed) {
  QemuChild qemu{{"-S", "-vga", "std", "-smp", "2"}};
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, false};
  auto session = monitor.session();
  ASSERT_TRUE(session) << session.error().message();
  const auto ranges = session->mtree().and_then(parse_mtree);
  ASSERT_TRUE(ranges) << ranges.error().message();
  const std::vector<Gpa> gpas{Gpa{0}, Gpa{0x1000}, Gpa{0xfee00000}, Gpa{std::uint64_t{1} << 40}};
  const auto hvas = session->gpa2hva(gpas);
  ASSERT_TRUE(hvas) << hvas.error().message();
  ASSERT_EQ(hvas->size(), 4U);
  ASSERT_TRUE((*hvas)[0] && (*hvas)[1]);
  EXPECT_EQ(*(*hvas)[1], *(*hvas)[0] + 0x1000);
  EXPECT_FALSE((*hvas)[2]);
  EXPECT_FALSE((*hvas)[3]);
  const auto registers = session->registers_text().and_then(parse_info_registers);
  ASSERT_TRUE(registers) << registers.error().message();
  EXPECT_EQ(registers->size(), 2U);
  EXPECT_TRUE(session->pci_bars());
}

TEST_F(RealMonitor, MachineWithoutPci) {
  QemuChild qemu{{"-S", "-M", "microvm"}};
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, false};
  auto session = monitor.session();
  ASSERT_TRUE(session) << session.error().message();
  const auto bars = session->pci_bars();
  ASSERT_TRUE(bars) << bars.error().message();
  EXPECT_TRUE(bars->empty());
}

TEST_F(RealMonitor, Socket_IsFreeBetweenSessionsAndBusyWhileKept) {
  QemuChild qemu;
  Monitor passing{qemu.qmp_path(), process_of(qemu.pid()), 3s, false};
  ASSERT_TRUE(passing.run_status());
  Monitor kept{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, true};
  ASSERT_TRUE(kept.run_status());
  const auto refused = passing.run_status();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::busy);
}

TEST_F(RealMonitor, Events_OfOtherClients_AreDelivered) {
  QemuChild qemu;
  EventLog events;
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, true, events.handler()};
  ASSERT_TRUE(monitor.run_status());
  qemu.ask("stop");
  EXPECT_TRUE(events.wait_for("STOP"));
  ASSERT_TRUE(monitor.cont());
  EXPECT_TRUE(events.wait_for("RESUME"));
  qemu.ask("system_reset");
  EXPECT_TRUE(events.wait_for("RESET"));
  const auto sent = qemu.pid();
  ::kill(sent, SIGTERM);
  EXPECT_TRUE(events.wait_for("SHUTDOWN"));
  EXPECT_TRUE(events.wait_for(std::string{Monitor::kConnectionLost}));
  EXPECT_FALSE(monitor.run_status());
}

TEST_F(RealMonitor, ManyThreads) {
  QemuChild qemu;
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, true, [](const QmpEvent&) {}};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 25; ++round) {
        const auto done = i % 2 == 0 ? monitor.stop() : monitor.cont();
        EXPECT_TRUE(done) << done.error().message();
        EXPECT_TRUE(monitor.run_status());
      }
    });
  }
}

} // namespace
} // namespace vmemfs::qemu
