// SPDX-License-Identifier: MIT
// The run state of a guest before, during and after its use by the driver `gdbstub`: it runs whenever it ran
// before and nobody wants it paused. The truth is QEMU's query-status.
#include "e2e/gdbstub/served_guest.h"
#include "support/gdb/gdb_client.h"
#include "support/mount.h"
#include "tests/drivers/gdbstub/scripted_server.h"

#include <cerrno>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <string_view>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

/// As GDB does: from then on QEMU's thread IDs name processes, for every later client.
void use_with_processes(const std::string& stub) {
  GdbClient debugger{stub};
  EXPECT_THAT(debugger.ask("qSupported:multiprocess+;xmlRegisters=i386"), HasSubstr("multiprocess+"));
  EXPECT_EQ(debugger.ask("D;1"), "OK");
}

class UsedByGdb : public testing::Test {
protected:
  UsedByGdb() {
    use_with_processes(served_.stub());
    EXPECT_TRUE(served_.guest().running());
  }
  static GuestOptions two_vcpus() {
    GuestOptions options;
    options.extra = {"-smp", "2"};
    return options;
  }

  ServedGuest served_{two_vcpus()};
};

TEST_F(UsedByGdb, Unmount_LeavesItRunning) {
  for (const char* const leave : {"", ",leave=running"}) {
    Mount mount{{"--vm", served_.vm(leave)}};
    EXPECT_FALSE(served_.guest().running());
    EXPECT_EQ(mount.unmount(), 0) << mount.log();
    EXPECT_TRUE(served_.guest().running()) << leave;
  }
}

TEST_F(UsedByGdb, AllVcpusAreThere_WithTheirRegisters) {
  Mount mount{{"--vm", served_.vm()}};
  for (const char* const vcpu : {"0", "1"}) {
    EXPECT_THAT(read_file(mount / fmt::format("vm/vcpus/{}/regs", vcpu)), HasSubstr("rip 0x"));
  }
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  EXPECT_TRUE(served_.guest().running());
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_FALSE(served_.guest().running());
}

TEST_F(UsedByGdb, Save_LeavesItRunning) {
  const TempDir dir;
  const std::string source = served_.vm().substr(std::string_view{"vm="}.size());
  const auto saved = run({VMEMFS_PROGRAM, "save", "-q", "--pause", source, dir / "image"});
  EXPECT_EQ(saved.code, 0) << saved.text;
  EXPECT_TRUE(served_.guest().running());
}

/// A server that refuses to let its target go, whatever it is asked.
class RefusesToDetach : public testing::Test {
protected:
  static gdbstub::Script refusing() {
    gdbstub::Script script;
    script.fixed = {{"D", "E22"}, {"D;1", "E22"}, {"vCont;c", "E01"}};
    // A reply, although vCont;c has none as a rule.
    script.answer = [](const std::string& request, unsigned) {
      return request == "vCont;c" ? std::optional{gdbstub::Answer{.text = "E01"}} : std::nullopt;
    };
    return script;
  }
  [[nodiscard]] std::string source() const {
    return fmt::format("gdbstub:address={},timeout=60s", server_.address());
  }

  gdbstub::ScriptedServer server_{refusing()};
};

TEST_F(RefusesToDetach, Save_SaysSo_AndIsNotSuccessful) {
  const TempDir dir;
  const auto saved = run({VMEMFS_PROGRAM, "save", "-q", source(), dir / "image"});
  EXPECT_EQ(saved.code, 3);
  EXPECT_THAT(saved.text, HasSubstr("may stay paused"));
}

TEST_F(RefusesToDetach, DetachCommand_FailsWithAnEvent) {
  Mount mount{{"--vm", "vm=" + source()}};
  EXPECT_EQ(try_write(mount / "vm/control", "detach\n"), EIO);
  EXPECT_THAT(line_with(read_file(mount / ".vmemfs/events"), "may stay stopped"), HasSubstr("\"error\""));
}

} // namespace
} // namespace vmemfs::test
