// SPDX-License-Identifier: MIT
#include "fs/files/control/control_file.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
