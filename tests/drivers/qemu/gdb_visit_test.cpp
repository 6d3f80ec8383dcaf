// SPDX-License-Identifier: MIT
// Visits to the gdbstub of a monitor that is scripted: moments that a real QEMU shows too rarely.
#include "drivers/qemu/gdbstub/gdb_visit.h"
#include "support/processes.h"
#include "tests/drivers/qemu_protocol/fake_monitor.h"

#include <array>
#include <chrono>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;

/// A QEMU whose gdbstub has no client whenever one looks, and refuses each.
class BusyStub {
public:
  GdbVisit visit() {
    Monitor monitor{monitor_.path(), process_of(::getpid()), 20s, false};
    auto session = monitor.session();
    EXPECT_TRUE(session);
    GdbScript script;
    script.add("?");
    return visit_gdbstub(*session, script, chardevs_);
  }

  int tries = 0;
  int refusals = 1000; ///< before one is accepted
  int left_open = 0;   ///< descriptors that QEMU keeps for us

private:
  void serve(FakePeer& peer) {
    peer.greet();
    for (std::string command = peer.read_line(); !command.empty(); command = peer.read_line()) {
      peer.send(fmt::format("{{{}, \"id\": {}}}\r\n", answer_to(command), id_of(command)));
    }
  }

  std::string answer_to(const std::string& command) {
    const auto is = [&](std::string_view text) { return command.find(text) != std::string::npos; };
    if (is("add_client")) {
      --left_open; // QEMU takes the descriptor in any case
      if (++tries <= refusals) {
        return R"("error": {"class": "GenericError", "desc": "failed to add client"})";
      }
    }
    left_open += is("\"getfd\"") ? 1 : 0;
    left_open -= is("\"closefd\"") ? 1 : 0;
    if (is("query-status")) {
      return R"("return": {"running": true, "status": "running"})";
    }
    if (is("query-chardev")) {
      return R"("return": [{"label": "gdb", "filename": "disconnected:tcp:0.0.0.0:1234,server=on"}])";
    }
    return R"("return": {})";
  }

  const std::array<std::string, 1> chardevs_{"gdb"};
  FakeMonitor monitor_{[this](FakePeer& peer) { serve(peer); }};
};

/// A debugger connected after the look at the stub, and was gone before the next one.
TEST(GdbVisitTest, DebuggerThatCameAndWent_IsTriedAgain) {
  BusyStub stub;
  stub.refusals = 2;
  const GdbVisit visit = stub.visit();
  EXPECT_TRUE(visit.started);
  EXPECT_EQ(stub.tries, 3);
}

TEST(GdbVisitTest, StubThatRefusesEachClient_IsAnErrorInTheEnd) {
  BusyStub stub;
  const GdbVisit visit = stub.visit();
  EXPECT_FALSE(visit.started);
  ASSERT_TRUE(visit.failure);
  EXPECT_EQ(visit.failure->kind, ErrorKind::source_failed);
  EXPECT_THAT(visit.failure->text, testing::HasSubstr("failed to add client"));
  EXPECT_EQ(stub.tries, 4);
  EXPECT_EQ(stub.left_open, 0);
}

} // namespace
} // namespace vmemfs::qemu
