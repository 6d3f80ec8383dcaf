// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/resume_ticket.h"
#include "host/process.h"
#include "tests/drivers/qemu_protocol/fake_monitor.h"

#include <atomic>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;

/// A ticket for this process, which is also the one that listens on a FakeMonitor.
MonitorTicket ticket_for(const FakeMonitor& monitor) {
  return {::getpid(), Process::open(::getpid()).value().start_time(), 5s, monitor.path()};
}

std::string status(std::string_view word) {
  return fmt::format(R"({{"running": {}, "status": "{}"}})", word == "running", word);
}

TEST(ResumeTicket, ToTextAndParse_RoundTrips) {
  for (const char* monitor : {"/run/a b\nmonitor=.qmp", "abstract:web01", "tcp:127.0.0.1:4444"}) {
    const MonitorTicket ticket{4711, 123456789, 250ms, monitor};
    const auto parsed = parse_resume_ticket(to_text(ticket));
    ASSERT_TRUE(parsed) << parsed.error().message();
    EXPECT_EQ(parsed->pid, ticket.pid);
    EXPECT_EQ(parsed->start_time, ticket.start_time);
    EXPECT_EQ(parsed->timeout, ticket.timeout);
    EXPECT_EQ(parsed->monitor, ticket.monitor);
  }
}

TEST(ResumeOrphan, MonitorOfAnotherHost_IsNotConnectedTo) {
  const MonitorTicket ticket{::getpid(), Process::open(::getpid()).value().start_time(), 5s,
                             "tcp:192.0.2.1:4444"};
  const auto refused = resume_orphan(ticket);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::invalid) << refused.error().message();
}

TEST(ResumeTicket, InvalidText_IsRefused) {
  for (const std::string_view text :
       {"", "pid=1", "pid=1\nstarted=2\ntimeout=3\n", "pid=1\nstarted=2\ntimeout=3\nmonitor=",
        "pid=0\nstarted=2\ntimeout=3\nmonitor=/m", "pid=-1\nstarted=2\ntimeout=3\nmonitor=/m",
        "pid=2147483648\nstarted=2\ntimeout=3\nmonitor=/m", "pid=1\nstarted=\ntimeout=3\nmonitor=/m",
        "pid=1\nstarted=2\ntimeout=9999999999\nmonitor=/m", "started=2\npid=1\ntimeout=3\nmonitor=/m"}) {
    const auto ticket = parse_resume_ticket(text);
    ASSERT_FALSE(ticket) << text;
    EXPECT_EQ(ticket.error().kind, ErrorKind::invalid);
  }
}

TEST(ResumeOrphan, PausedVm_IsResumed) {
  std::atomic<bool> continued = false;
  const FakeMonitor monitor{[&](FakePeer& peer) {
    peer.greet();
    peer.answer(status("paused"));
    peer.answer(status("paused"));
    const std::string command = peer.read_line();
    continued = command.find(R"("cont")") != std::string::npos;
    peer.send(fmt::format(R"({{"return": {{}}, "id": {}}})"
                          "\n",
                          id_of(command)));
    peer.answer(status("running"));
    peer.wait_for_end();
  }};
  const auto resumed = resume_orphan(ticket_for(monitor));
  EXPECT_TRUE(resumed) << resumed.error().message();
  EXPECT_TRUE(continued);
}

TEST(ResumeOrphan, OtherState_IsNotChanged) {
  for (const std::string word :
       {"running", "postmigrate", "guest-panicked", "io-error", "suspended", "shutdown"}) {
    std::atomic<bool> asked_more = false;
    const FakeMonitor monitor{[&](FakePeer& peer) {
      peer.greet();
      peer.answer(status(word));
      asked_more = !peer.read_line().empty();
    }};
    const auto resumed = resume_orphan(ticket_for(monitor));
    EXPECT_TRUE(resumed) << word;
    EXPECT_FALSE(asked_more) << word;
  }
}

TEST(ResumeOrphan, TransientState_IsBusy) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    peer.greet();
    peer.answer(status("save-vm"));
    peer.wait_for_end();
  }};
  const auto resumed = resume_orphan(ticket_for(monitor));
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().kind, ErrorKind::busy);
}

TEST(ResumeOrphan, ReusedPid_IsNotChanged) {
  std::atomic<bool> connected = false;
  const FakeMonitor monitor{[&](FakePeer& peer) {
    connected = true;
    peer.greet();
  }};
  MonitorTicket ticket = ticket_for(monitor);
  ++ticket.start_time;
  EXPECT_TRUE(resume_orphan(ticket));
  ticket.pid = 2147483647;
  EXPECT_TRUE(resume_orphan(ticket));
  EXPECT_FALSE(connected);
}

/// The process that has the monitor (this one) is not the process of the ticket.
TEST(ResumeOrphan, MonitorOfAnotherProcess_GetsNoCommand) {
  std::atomic<bool> commanded = false;
  const FakeMonitor monitor{[&](FakePeer& peer) {
    peer.send(FakePeer::kGreeting);
    commanded = !peer.read_line().empty();
  }};
  MonitorTicket ticket = ticket_for(monitor);
  ticket.pid = ::getppid();
  ticket.start_time = Process::open(ticket.pid).value().start_time();
  const auto refused = resume_orphan(ticket);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::permission);
  EXPECT_FALSE(commanded);
}

TEST(ResumeOrphan, MonitorInUseOrGone_ReportsTheReason) {
  const FakeMonitor monitor{[](FakePeer& peer) { peer.wait_for_end(); }}; // as if in use by another client
  MonitorTicket ticket = ticket_for(monitor);
  ticket.timeout = 1s;
  auto resumed = resume_orphan(ticket);
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().kind, ErrorKind::busy);

  ticket.monitor += ".gone";
  resumed = resume_orphan(ticket);
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().kind, ErrorKind::not_found);
}

} // namespace
} // namespace vmemfs::qemu
