// SPDX-License-Identifier: MIT
#include "drivers/fake/fake_driver.h"
#include "fs/files/control/mount_control_file.h"
#include "support/recording_reply.h"
#include "tests/vm/registry_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class MountControlFileTest : public RegistryTest {
protected:
  ~MountControlFileTest() override { stop_workers(); }

  VmOptionsTable options_;
  unsigned opened_ = 0;
  Attacher attacher_{[this](const VmSpec&) -> Result<std::unique_ptr<Driver>> {
                       ++opened_;
                       return FakeDriver::create({});
                     },
                     vms_, options_};
  VmFinder finder_{{}, {}, attacher_, {}, {}};
  const std::shared_ptr<LastFailure> failure_ = std::make_shared<LastFailure>();
  MountControlFile file_{vms_, attacher_, finder_, failure_};
};

TEST_F(MountControlFileTest, AttachAndDetach_StatusFollows) {
  EXPECT_THAT(read_file(file_)->bytes(), HasSubstr("command attach"));
  constexpr std::string_view kAttach = "attach one=fake\n";
  ASSERT_EQ(file_.write(kAttach, 0), kAttach.size());
  EXPECT_EQ(read_file(file_, kAttach.size())->bytes(), "ok, as one\n");
  MountControlFile other{vms_, attacher_, finder_, failure_};
  EXPECT_THAT(read_file(other)->bytes(), HasSubstr("vm fake one\n"));
  ASSERT_TRUE(file_.write("detach one\n", 0));
  EXPECT_THAT(file_.write("detach two\n", 0).error().kind, ErrorKind::not_found);
}

TEST_F(MountControlFileTest, Write_UnknownCommand_InvalidAndNamesTheCommands) {
  EXPECT_EQ(file_.write("pause\n", 0).error().kind, ErrorKind::invalid);
  EXPECT_THAT(read_file(file_)->bytes(), HasSubstr("there are: attach detach status"));
}

// A shell reports an errno, and closes the file.
TEST_F(MountControlFileTest, ReasonOfAFailure_IsThereForOtherHandles) {
  MountControlFile before{vms_, attacher_, finder_, failure_};
  EXPECT_THAT(read_file(before)->bytes(), HasSubstr("last_error none\n"));
  ASSERT_FALSE(file_.write("detach two\n", 0));
  ASSERT_TRUE(file_.write("attach one=fake\n", 0));
  MountControlFile after{vms_, attacher_, finder_, failure_};
  EXPECT_THAT(read_file(after)->bytes(), HasSubstr("last_error vm: there is no VM 'two'"));
  EXPECT_THAT(read_file(after)->bytes(), HasSubstr("\nerror_time 2"));
}

// Opening a VM may take seconds, and its failure would hide the reason.
TEST_F(MountControlFileTest, Attach_NameIsTaken_NothingIsOpened) {
  ASSERT_TRUE(file_.write("attach one=fake\n", 0));
  const auto refused = file_.write("attach one=fake:size=1M\n", 0);
  EXPECT_EQ(refused.error().kind, ErrorKind::busy);
  EXPECT_EQ(refused.error().text, "there is a VM 'one' already; give another NAME");
  EXPECT_EQ(opened_, 1U);
}

TEST_F(MountControlFileTest, ReasonOfSeveralLines_IsOneLine) {
  failure_->set("no driver can open 'x':\n  a: no\n  b: never");
  EXPECT_THAT(read_file(file_)->bytes(),
              HasSubstr("last_error no driver can open 'x': a: no; b: never\nerror_time 2"));
}

} // namespace
} // namespace vmemfs::test
