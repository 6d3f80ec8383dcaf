// SPDX-License-Identifier: MIT
// Pause and resume of both ends of a real migration. The state is what the tests' own monitors report.
#include "guests/tiny/layout.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string state_of(QemuGuest& guest) {
  return guest.monitor().execute("query-status").at("status").get<std::string>();
}

[[nodiscard]] bool reaches(QemuGuest& guest, const std::string& state) {
  return eventually([&] { return state_of(guest) == state; });
}

GuestOptions target_options(const std::vector<std::string>& extra = {}) {
  GuestOptions options;
  options.fill = "none";
  options.waits = true;
  options.extra = {"-incoming", "defer"};
  options.extra.insert(options.extra.end(), extra.begin(), extra.end());
  return options;
}

std::string spec(const QemuGuest& guest) { return fmt::format("vm=qemu:qmp={}", guest.driver_socket()); }

std::string status(const Mount& mount) { return read_file(mount / "vm/control"); }

class Migration : public testing::Test {
protected:
  void begin(QemuGuest& target) {
    target.monitor().execute("migrate-incoming", {{"uri", uri_}});
    source_.monitor().execute("migrate", {{"uri", uri_}});
  }

  /// Until it has ended for the source. Then the target has its own state a moment later.
  void migrate(QemuGuest& target) {
    begin(target);
    ASSERT_TRUE(eventually(
        [&] { return source_.monitor().execute("query-migrate").value("status", "") == "completed"; }));
    ASSERT_TRUE(eventually([&] { return state_of(target) != "inmigrate"; }));
  }

  QemuGuest source_{{.fill = "none"}};
  const std::string uri_ = "unix:" + (source_.dir() / "migration");
};

TEST_F(Migration, TargetThatWasPaused_DoesNotRun) {
  QemuGuest target{target_options()};
  const Mount mount{{"--vm", spec(target)}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  EXPECT_THAT(status(mount), HasSubstr("state inmigrate\npaused_by vmemfs\n"));
  migrate(target);
  EXPECT_EQ(state_of(target), "paused");
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(state_of(target), "paused");
  EXPECT_THAT(status(mount), HasSubstr("state paused\npaused_by vmemfs\n"));
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0);
  EXPECT_EQ(state_of(target), "running");
}

TEST_F(Migration, TargetThatWasResumed_RunsAfterwards) {
  QemuGuest target{target_options()};
  const Mount mount{{"--vm", spec(target) + ",timeout=20s"}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << status(mount);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 15s);
  migrate(target);
  EXPECT_TRUE(reaches(target, "running"));
}

TEST_F(Migration, TargetWhosePauseEnds_RunsAfterwards) {
  QemuGuest target{target_options()};
  const Mount mount{{"--vm", spec(target)}};
  {
    const UniqueFd control{::open((mount / "vm/control").c_str(), O_RDWR | O_CLOEXEC)};
    ASSERT_EQ(::write(control.get(), "pause hold\n", 11), 11);
    EXPECT_THAT(status(mount), HasSubstr("holds 1\n"));
  }
  EXPECT_TRUE(eventually([&] { return status(mount).find("holds 0\n") != std::string::npos; }));
  migrate(target);
  EXPECT_TRUE(reaches(target, "running"));
}

TEST_F(Migration, TargetThatIsPausedWhenTheMountEnds_RunsAfterwards) {
  QemuGuest target{target_options()};
  {
    const Mount mount{{"--vm", spec(target)}};
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  }
  migrate(target);
  EXPECT_TRUE(reaches(target, "running"));
}

/// Such as every QEMU of libvirt, which resumes it itself when it is time to.
TEST_F(Migration, TargetStartedWithS_StaysPausedWhateverWePaused) {
  QemuGuest target{target_options({"-S"})};
  {
    const Mount mount{{"--vm", spec(target)}};
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  }
  migrate(target);
  EXPECT_EQ(state_of(target), "paused");
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(state_of(target), "paused");
}

/// The memory of a target changes although no vCPU runs.
TEST_F(Migration, TargetWithACache_ServesNoPageFromBefore) {
  QemuGuest target{target_options()};
  const Mount mount{{"--vm", spec(target)}};
  ASSERT_EQ(try_write(mount / "vm/control", "cache on\n"), 0);
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)};
  const auto before = pread_at(mem.get(), TG_INFO_GPA, 16);
  migrate(target);
  ASSERT_EQ(state_of(target), "paused");
  const auto after = pread_at(mem.get(), TG_INFO_GPA, 16);
  EXPECT_EQ(after.bytes, target.pmemsave(TG_INFO_GPA, 16));
  EXPECT_NE(after.bytes, before.bytes);
}

/// With pause-before-switchover the last part of a migration lasts until somebody continues it.
TEST_F(Migration, SourceThatIsFinishing_IsBusyInWords) {
  QemuGuest target{target_options()};
  const Mount mount{{"--vm", spec(source_) + ",timeout=3s"}};
  const nlohmann::json capability{{"capability", "pause-before-switchover"}, {"state", true}};
  source_.monitor().execute("migrate-set-capabilities",
                            {{"capabilities", nlohmann::json::array({capability})}});
  begin(target);
  ASSERT_TRUE(reaches(source_, "finish-migrate"));
  EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), EBUSY) << "it runs if the migration is cancelled";
  EXPECT_THAT(status(mount), HasSubstr("cannot pause: QEMU is in the state 'finish-migrate'"));
  EXPECT_EQ(try_write(mount / "vm/control", "resume\n"), EBUSY);
  EXPECT_THAT(status(mount), HasSubstr("cannot resume: QEMU is in the state 'finish-migrate'"));
  source_.monitor().execute("migrate_cancel");
  ASSERT_TRUE(reaches(source_, "running"));
  EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  EXPECT_EQ(state_of(source_), "paused");
}

TEST_F(Migration, SourceThatHasLeft_IsResumedOnlyByRequest) {
  QemuGuest target{target_options({"-S"})};
  {
    const Mount mount{{"--vm", spec(source_)}};
    migrate(target);
    ASSERT_TRUE(reaches(source_, "postmigrate"));
    EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  }
  EXPECT_EQ(state_of(source_), "postmigrate");
  const Mount mount{{"--vm", spec(source_)}};
  EXPECT_EQ(try_write(mount / "vm/control", "resume\n"), 0);
  EXPECT_EQ(state_of(source_), "running");
}

} // namespace
} // namespace vmemfs::test
