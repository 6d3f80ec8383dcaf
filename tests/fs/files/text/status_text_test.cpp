// SPDX-License-Identifier: MIT
#include "core/text.h"
#include "fs/files/text/status_text.h"
#include "tests/fs/files/changed_driver.h"
#include "vm_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;

struct Line {
  std::string key;
  std::string rest;

  friend bool operator==(const Line&, const Line&) = default;
};

/// The `key value` lines, and those of commands, whose key is left out.
struct Status {
  std::vector<Line> lines;
  std::vector<std::string> commands;

  [[nodiscard]] std::string operator[](std::string_view key) const {
    for (const Line& line : lines) {
      if (line.key == key) {
        return line.rest;
      }
    }
    return "(no such line)";
  }
};

Status status_of(Vm& vm) {
  Status status;
  const std::string text = status_text(vm);
  EXPECT_TRUE(text.ends_with('\n'));
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t blank = line.find(' ');
    EXPECT_NE(blank, std::string_view::npos) << line;
    const std::string key{line.substr(0, blank)};
    const std::string rest{line.substr(std::min(blank + 1, line.size()))};
    if (key == "command") {
      status.commands.push_back(rest);
    } else {
      EXPECT_TRUE(status.commands.empty()) << "commands come last: " << line;
      status.lines.push_back({key, rest});
    }
  }
  return status;
}

const std::vector<std::string> kAllCommands{
    "pause [hold|ttl=DURATION|keep]",
    "resume",
    "write on|off",
    "cache [auto|on|off] [size=BYTES|size=share] [ttl=DURATION] [kernel=auto|on|off]",
    "refresh",
    "flush",
    "status",
    "detach",
};

TEST(StatusText, RunningVm_HasEveryLine) {
  VmFixture fixture;
  const Status status = status_of(*fixture.vm);
  const std::string epoch = std::to_string(fixture.vm->cache().epoch());
  EXPECT_THAT(status.lines,
              ElementsAre(Line{"state", "running"}, Line{"paused_by", "nobody"}, Line{"driver", "fake"},
                          Line{"epoch", epoch},
                          Line{"cache", "auto in_use=no used=0 limit=0 ttl=0ms kernel=auto kernel_in_use=no"},
                          Line{"kernel_not_in_use_because", fixture.vm->guest().kernel_cache_state().reason},
                          Line{"write", "off"}, Line{"holds", "0"}, Line{"keep", "no"},
                          Line{"last_error", "none"}));
  EXPECT_EQ(status.commands, kAllCommands);
}

TEST(StatusText, PausedVm_SaysByWhomAndUntilWhen) {
  VmFixture fixture;
  ASSERT_TRUE(fixture.vm->run_state().pause(PauseKind::timed, std::chrono::minutes{10}));
  const auto hold = fixture.vm->run_state().hold();
  ASSERT_TRUE(hold);
  Status status = status_of(*fixture.vm);
  EXPECT_EQ(status["state"], "paused");
  EXPECT_EQ(status["paused_by"], "vmemfs");
  EXPECT_TRUE(status["cache"].ends_with(" kernel=auto kernel_in_use=yes"));
  EXPECT_EQ(status["kernel_not_in_use_because"], "(no such line)");
  EXPECT_EQ(status["holds"], "1");
  EXPECT_EQ(status["keep"], "no");
  EXPECT_THAT(status["pause_ends_in"], testing::MatchesRegex("5[0-9][0-9][0-9][0-9][0-9]ms|600000ms"));
  fixture.vm->run_state().end_hold(*hold);
  ASSERT_TRUE(fixture.vm->run_state().resume());

  ASSERT_TRUE(fixture.vm->run_state().pause(PauseKind::keep));
  EXPECT_EQ(status_of(*fixture.vm)["keep"], "yes");
  ASSERT_TRUE(fixture.vm->run_state().resume());

  fixture.fake->set_running(false);
  ASSERT_TRUE(fixture.vm->run_state().status());
  status = status_of(*fixture.vm);
  EXPECT_EQ(status["paused_by"], "other");
  EXPECT_TRUE(status["cache"].ends_with(" kernel=auto kernel_in_use=no"));
  EXPECT_THAT(status["kernel_not_in_use_because"], testing::HasSubstr("cache kernel=on"));
}

TEST(StatusText, Settings_AreShown) {
  VmFixture fixture;
  ASSERT_TRUE(fixture.vm->cache().change([](CacheSettings& settings) {
    settings = {.mode = CacheMode::on,
                .kernel = CacheMode::off,
                .ttl = std::chrono::milliseconds{250},
                .size = 1U << 20U};
  }));
  ASSERT_TRUE(fixture.vm->write_gate().set_writable(true));
  const Status status = status_of(*fixture.vm);
  EXPECT_EQ(status["cache"], "on in_use=yes used=0 limit=1048576 ttl=250ms kernel=off kernel_in_use=no");
  EXPECT_EQ(status["kernel_not_in_use_because"], "(no such line)") << "the user has switched it off";
  EXPECT_EQ(status["write"], "on");
}

TEST(StatusText, LastError_StaysUntilTheNextOne) {
  VmFixture fixture;
  fixture.fault->fail_nth(FaultPoint::pause, 1);
  ASSERT_FALSE(fixture.vm->run_state().pause());
  const LastError error = fixture.vm->events().last_error();
  EXPECT_NE(error.text, "");
  EXPECT_EQ(status_of(*fixture.vm)["last_error"], error.text);
  EXPECT_EQ(status_of(*fixture.vm)["error_time"], utc_text(error.time, SecondDigits::three));
}

TEST(StatusText, EndedVm_IsGone) {
  VmFixture fixture;
  fixture.fake->die();
  EXPECT_EQ(status_of(*fixture.vm)["state"], "gone");
}

TEST(StatusText, VmWithoutAbilities_HasNoCommandsForThem) {
  VmFixture fixture{{}, {}, {}, changed({.no_run_control = true, .no_writers = true})};
  const Status status = status_of(*fixture.vm);
  EXPECT_EQ(status["state"], "unknown");
  EXPECT_EQ(status.commands, (std::vector<std::string>{kAllCommands.begin() + 3, kAllCommands.end()}));
}

TEST(StatusText, VmWithoutRegisters_CanBeWrittenAllTheSame) {
  VmFixture fixture{{}, {}, {}, changed({.no_registers = true})};
  EXPECT_EQ(status_of(*fixture.vm).commands, kAllCommands);
}

TEST(StatusText, HostileState_AddsNoLine) {
  VmFixture fixture{{}, {}, {}, changed({.run_status = RunStatus{true, "running\ncommand rm\x1b[2J"}})};
  const Status status = status_of(*fixture.vm);
  EXPECT_EQ(status["state"], "running\\x0acommand rm\\x1b[2J");
  EXPECT_EQ(status.lines.size(), 10U);
}

} // namespace
} // namespace vmemfs::test
