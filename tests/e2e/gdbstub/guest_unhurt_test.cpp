// SPDX-License-Identifier: MIT
// The run state of a guest before, during and after its use by the driver `gdbstub`: it runs whenever it ran
// before and nobody wants it paused. The truth is QEMU's query-status.
#include "e2e/gdbstub/served_guest.h"
#include "support/gdb/gdb_client.h"
#include "support/gdb/slow_link.h"
#include "support/mount.h"
#include "tests/drivers/gdbstub/scripted_server.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

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

TEST_F(UsedByGdb, DaemonKilled_RunsAgain) {
  Mount mount{{"--vm", served_.vm()}};
  EXPECT_THAT(read_file(mount / "vm/control"), HasSubstr("paused_by vmemfs"));
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return served_.guest().running(); }));
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

class ResumedBySomebodyElse : public testing::Test {
protected:
  ResumedBySomebodyElse() {
    EXPECT_THAT(control(), HasSubstr("state stopped"));
    served_.guest().resume();
  }
  [[nodiscard]] std::string control() const { return read_file(mount_ / "vm/control"); }
  [[nodiscard]] int command(const std::string& text) const {
    return try_write(mount_ / "vm/control", text + "\n");
  }

  ServedGuest served_;
  Mount mount_{{"--vm", served_.vm()}};
};

TEST_F(ResumedBySomebodyElse, Resume_LeavesItRunning) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(command("resume"), 0) << mount_.log();
    EXPECT_TRUE(served_.guest().running());
    EXPECT_THAT(control(), HasSubstr("state running"));
  }
}

TEST_F(ResumedBySomebodyElse, ResumeAfterAForeignPause_LeavesItRunning) {
  ASSERT_EQ(command("resume"), 0) << mount_.log();
  served_.guest().pause();
  EXPECT_TRUE(eventually([&] { return control().find("state stopped") != std::string::npos; }));
  served_.guest().resume();
  ASSERT_EQ(command("resume"), 0) << mount_.log();
  EXPECT_TRUE(served_.guest().running());
  EXPECT_THAT(control(), HasSubstr("state running"));
  std::this_thread::sleep_for(1200ms); // the state is polled once a second
  EXPECT_TRUE(served_.guest().running());
  const std::string events = read_file(mount_ / ".vmemfs/events");
  EXPECT_GT(events.rfind("by us"), events.rfind("by somebody else")) << events;
}

TEST_F(ResumedBySomebodyElse, TimedPause_Ends) {
  ASSERT_EQ(command("pause ttl=1s"), 0) << mount_.log();
  EXPECT_FALSE(served_.guest().running());
  EXPECT_THAT(control(), HasSubstr("paused_by vmemfs"));
  EXPECT_TRUE(eventually([&] { return served_.guest().running(); }));
  EXPECT_EQ(mount_.unmount(), 0);
  EXPECT_TRUE(served_.guest().running());
}

TEST_F(ResumedBySomebodyElse, Hold_Ends) {
  {
    const UniqueFd held{::open((mount_ / "vm/control").c_str(), O_RDWR | O_CLOEXEC)};
    ASSERT_EQ(::write(held.get(), "pause hold\n", 11), 11) << mount_.log();
    EXPECT_FALSE(served_.guest().running());
  }
  EXPECT_TRUE(eventually([&] { return served_.guest().running(); }));
}

TEST_F(ResumedBySomebodyElse, SaveWithPause_LeavesItRunning) {
  const TempDir dir;
  const auto saved = run({VMEMFS_PROGRAM, "save", "-q", "--pause", mount_ / "vm", dir / "image"});
  EXPECT_EQ(saved.code, 0) << saved.text;
  EXPECT_TRUE(eventually([&] { return served_.guest().running(); }));
}

/// Resumed twice by others in the course of a pause: it ends as theirs.
TEST_F(ResumedBySomebodyElse, DuringAPause_ThePauseHasEnded) {
  ASSERT_EQ(command("pause keep"), 0) << mount_.log();
  served_.guest().resume();
  ASSERT_EQ(command("pause ttl=1s"), 0) << mount_.log();
  EXPECT_TRUE(eventually([&] { return served_.guest().running(); }));
}

TEST_F(ResumedBySomebodyElse, ThenPausedByThem_StaysPaused) {
  served_.guest().pause();
  EXPECT_TRUE(eventually([&] { return control().find("paused_by other") != std::string::npos; }));
  EXPECT_EQ(mount_.unmount(), 0);
  EXPECT_FALSE(served_.guest().running());
}

class StoppedByConnecting : public testing::Test {
protected:
  StoppedByConnecting() { EXPECT_FALSE(served_.guest().running()); }
  [[nodiscard]] std::string control(const Mount& mount) const { return read_file(mount / "vm/control"); }

  ServedGuest served_;
  Mount mount_{{"--vm", served_.vm()}};
};

TEST_F(StoppedByConnecting, IsAPauseByVmemfs) { EXPECT_THAT(control(mount_), HasSubstr("paused_by vmemfs")); }

TEST_F(StoppedByConnecting, PauseKeep_OutlastsTheMount) {
  ASSERT_EQ(try_write(mount_ / "vm/control", "pause keep\n"), 0) << mount_.log();
  EXPECT_EQ(mount_.unmount(), 0);
  EXPECT_FALSE(served_.guest().running());
  const Mount again{{"--vm", served_.vm()}};
  EXPECT_THAT(control(again), HasSubstr("paused_by other"));
}

TEST_F(StoppedByConnecting, TimedPause_Ends) {
  ASSERT_EQ(try_write(mount_ / "vm/control", "pause ttl=1s\n"), 0) << mount_.log();
  EXPECT_THAT(control(mount_), HasSubstr("pause_ends_in"));
  EXPECT_FALSE(served_.guest().running());
  EXPECT_TRUE(eventually([&] { return served_.guest().running(); }));
}

TEST_F(StoppedByConnecting, PlainPause_EndsWithTheMount_OrTheDaemon) {
  ASSERT_EQ(try_write(mount_ / "vm/control", "pause\n"), 0) << mount_.log();
  EXPECT_THAT(control(mount_), Not(HasSubstr("pause_ends_in")));
  mount_.kill_daemon();
  EXPECT_TRUE(eventually([&] { return served_.guest().running(); }));
}

/// A server has one client; a second connection would stop the guest when the first one has left.
class HeldByADebugger : public testing::Test {
protected:
  HeldByADebugger() { EXPECT_EQ(debugger_->ask("qqemu.PhyMemMode"), "0"); }
  /// Tries to mount, and has the first client detach and leave.
  RunResult try_to_mount(const std::string& address) {
    const TempDir mountpoint;
    auto tried =
        run({VMEMFS_PROGRAM, "--no-discover", "--vm",
             fmt::format("vm=gdbstub:address={},timeout=1s,maps={}", address, kMaps), mountpoint.path()});
    EXPECT_FALSE(served_.guest().running());
    EXPECT_EQ(debugger_->ask("D"), "OK");
    debugger_.reset();
    return tried;
  }

  ServedGuest served_;
  std::unique_ptr<GdbClient> debugger_ = std::make_unique<GdbClient>(served_.stub());
};

TEST_F(HeldByADebugger, SecondAttempt_IsRefusedWithoutConnecting_AndTheGuestRunsLater) {
  const auto tried = try_to_mount(served_.stub());
  EXPECT_EQ(tried.code, 1);
  EXPECT_THAT(tried.text, HasSubstr("has a client"));
  std::this_thread::sleep_for(1s);
  EXPECT_TRUE(served_.guest().running());
}

/// Behind a proxy nobody can see that the server has a client.
TEST_F(HeldByADebugger, SecondAttemptThroughAProxy_TheGuestRunsLater) {
  const SlowLink proxy{served_.stub(), 1ms};
  const auto tried = try_to_mount(proxy.path());
  EXPECT_EQ(tried.code, 1);
  EXPECT_THAT(tried.text, HasSubstr("no other debugger"));
  std::this_thread::sleep_for(1s);
  EXPECT_TRUE(served_.guest().running());
}

TEST(GdbSocketOfQemu, NamedAsAnotherSocket_IsRefused_AndTheGuestRuns) {
  ServedGuest served;
  const TempDir dir;
  for (const char* const vm : {"qemu:qmp=", "pmemaccess:qmp=", "pmemaccess:maps=0-64M,socket="}) {
    const auto mounted = run({VMEMFS_PROGRAM, "-f", "--no-discover", "--vm",
                              fmt::format("vm={}{}", vm, served.stub()), dir.path()});
    EXPECT_NE(mounted.code, 0) << vm;
    EXPECT_THAT(mounted.text, HasSubstr("gdbstub:address=unix:" + served.stub()));
    EXPECT_TRUE(served.guest().running()) << vm;
  }
}

TEST(GdbstubSave, WithoutPause_SaysThatTheGuestWasPaused) {
  ServedGuest served;
  const TempDir dir;
  const std::string source = served.vm().substr(std::string_view{"vm="}.size());
  const auto saved = run({VMEMFS_PROGRAM, "save", source, dir / "image"});
  EXPECT_EQ(saved.code, 0) << saved.text;
  EXPECT_THAT(saved.text, HasSubstr("the guest was paused for"));
  EXPECT_TRUE(served.guest().running());
  const auto sidecar = nlohmann::json::parse(read_file(dir / "image.json"));
  EXPECT_EQ(sidecar["mode"], "paused");
  EXPECT_GT(sidecar["pause_ms"], 0);
  EXPECT_EQ(sidecar["guest"]["state_before"], "running");
  EXPECT_EQ(sidecar["guest"]["state_after"], "running");
}

TEST(GdbstubSave, OfAPausedGuest_LeavesItPaused) {
  ServedGuest served;
  served.guest().pause();
  const TempDir dir;
  const std::string source = served.vm().substr(std::string_view{"vm="}.size());
  for (const char* const how : {"--live", "--pause"}) {
    const auto saved = run({VMEMFS_PROGRAM, "save", "-q", "--overwrite", how, source, dir / "image"});
    EXPECT_EQ(saved.code, 0) << saved.text;
    EXPECT_FALSE(served.guest().running()) << how;
  }
}

TEST(GdbstubCache, NotInUse_HasTheReasonAndTheRemedy) {
  ServedGuest served;
  {
    Mount mount{{"--vm", served.vm()}};
    const std::string line = line_with(read_file(mount / "vm/control"), "cache auto");
    EXPECT_THAT(line, HasSubstr("in_use=no"));
    EXPECT_THAT(line, HasSubstr("alone=on"));
    const auto cache = nlohmann::json::parse(read_file(mount / "vm/info"))["cache"];
    EXPECT_FALSE(cache["in_use"].get<bool>());
    EXPECT_THAT(cache["not_in_use_because"].get<std::string>(), HasSubstr("alone=on"));
  }
  Mount mount{{"--vm", served.vm(",alone=on")}};
  EXPECT_THAT(line_with(read_file(mount / "vm/control"), "cache auto"), HasSubstr("in_use=yes"));
  EXPECT_FALSE(nlohmann::json::parse(read_file(mount / "vm/info"))["cache"].contains("not_in_use_because"));
}

} // namespace
} // namespace vmemfs::test
