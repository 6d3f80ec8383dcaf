// SPDX-License-Identifier: MIT
#include "fs/files/control/control_file.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <string_view>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

class ControlFileTest : public testing::Test {
protected:
  [[nodiscard]] bool paused() { return fixture_.vm->run_state().info().by == PausedBy::us; }

  VmFixture fixture_;
};

TEST_F(ControlFileTest, PauseAndResume_ChangeTheVm) {
  ControlFile file{fixture_.vm};
  EXPECT_EQ(file.write("pause\n", 0), 6U);
  EXPECT_TRUE(paused());
  EXPECT_EQ(read_file(file, 6)->bytes(), "ok\n");
  EXPECT_EQ(file.write("resume\n", 6), 7U);
  EXPECT_FALSE(paused());
}

TEST_F(ControlFileTest, Hold_EndsWithItsHandle) {
  {
    ControlFile file{fixture_.vm};
    ASSERT_TRUE(file.write("pause hold\n", 0));
    EXPECT_TRUE(paused());
  }
  EXPECT_TRUE(eventually([&] { return !paused(); }));
}

TEST_F(ControlFileTest, Write_CountsCommands) {
  ControlFile file{fixture_.vm};
  ASSERT_TRUE(file.write("flush\ncache off\n", 0));
  EXPECT_EQ(fixture_.vm->cache().settings().mode, CacheMode::off);
  EXPECT_EQ(file.write("nonsense\n", 0).error().kind, ErrorKind::invalid);
}

// A shell reports an errno, and closes the file.
TEST_F(ControlFileTest, MalformedCommand_ReasonIsThereForOtherHandles) {
  ControlFile file{fixture_.vm};
  const struct {
    std::string_view line;
    std::string_view reason;
  } cases[] = {
      {"pause hold=2\n", "control: pause: 'hold=2' is not understood"},
      {"write maybe\n", "control: write: on or off, nothing else"},
      {"cache kernel=yes\n", "control: cache: 'yes' is not auto, on or off"},
      {"puase\n", "control: there is no command 'puase'"},
  };
  for (const auto& [line, reason] : cases) {
    ASSERT_FALSE(file.write(line, 0));
    ControlFile other{fixture_.vm};
    const std::string status = read_file(other)->bytes();
    EXPECT_THAT(status, HasSubstr(fmt::format("last_error {}", reason)));
    EXPECT_THAT(status, HasSubstr("\nerror_time 2"));
  }
  const std::string too_long(5000, 'x');
  ASSERT_FALSE(file.write(too_long, 0));
  EXPECT_THAT(fixture_.vm->events().last_error().text, HasSubstr("5000 bytes at once are no commands"));
}

/// Only a state that is unknown has a long reason, which is left out if the text gets longer than stat(2)
/// said.
TEST_F(ControlFileTest, TextGetsLongerByAReason_StateStays) {
  ASSERT_TRUE(fixture_.vm->run_state().pause());
  const auto size = std::make_shared<TextSize>();
  ASSERT_GT(size->promise(read_file(*std::make_unique<ControlFile>(fixture_.vm))->bytes().size()), 0U);
  fixture_.fake->set_running(true);
  ControlFile file{fixture_.vm, size};
  const std::string status = read_file(file)->bytes();
  EXPECT_THAT(status, HasSubstr("state running\n"));
  EXPECT_THAT(status, HasSubstr("\nkernel_not_in_use_because the guest is not paused"));
}

TEST_F(ControlFileTest, EndedVm_NoCommandSucceeds) {
  ControlFile file{fixture_.vm};
  fixture_.fake->die();
  for (const std::string_view command :
       {"pause", "resume", "write on", "cache off", "refresh", "flush", "status", "detach"}) {
    const auto written = file.write(command, 0);
    ASSERT_FALSE(written.has_value()) << command;
    EXPECT_EQ(written.error().kind, ErrorKind::vm_gone) << command;
  }
}

TEST_F(ControlFileTest, CacheSize_LargerThanAllCaches_Refused) {
  ControlFile file{fixture_.vm};
  EXPECT_EQ(file.write("cache size=18446744073709551615\n", 0).error().kind, ErrorKind::invalid);
  EXPECT_FALSE(fixture_.vm->cache().settings().size.has_value());
  ASSERT_TRUE(file.write("cache on size=0\n", 0));
  EXPECT_EQ(fixture_.vm->cache().stats().limit_bytes, 0U);
}

TEST_F(ControlFileTest, Detach_ReadsFailAfterwards) {
  ControlFile file{fixture_.vm};
  EXPECT_THAT(read_file(file)->bytes(), HasSubstr("command pause"));
  ASSERT_TRUE(file.write("detach\n", 0));
  EXPECT_EQ(read_file(file)->error(), ErrorKind::vm_gone);
}

} // namespace
} // namespace vmemfs::test
