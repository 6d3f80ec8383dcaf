// SPDX-License-Identifier: MIT
// A VM whose process executes another program, such as a set-uid one, whose memory is not its user's.
#include "attack/attacker_program.h"
#include "support/mount.h"

#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr const char* kSecret = "root's secret";

/// A VM of the attacker's, shown to him by root's mount. The parameter: what is left of the VM when its
/// process executes a program, see tests/attack/hostile/executing.cpp.
class ExecuteAttack : public AttackTest, public testing::WithParamInterface<const char*> {
protected:
  void SetUp() override {
    AttackTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    std::filesystem::copy_file(hostile("secret_holder"), set_uid_);
    std::filesystem::permissions(root_.path(), std::filesystem::perms{0755});
    ASSERT_EQ(::chmod(set_uid_.c_str(), 04755), 0);
  }

  /// The VM `vm`, which executes `program` at execute().
  pid_t start(const std::string& program) {
    return evil_.start({GetParam(), program, root_ / "go", "-m", "16M"}).pid();
  }
  [[nodiscard]] static std::string spec(pid_t pid) {
    return fmt::format("vm=qemu:pid={},map=guess,owner={},mode=0600", pid, kAttacker);
  }
  void execute() const { write_file(root_ / "go", ""); }

  /// The directory above the mount.
  static void open_to_all(const Mount& mount) {
    std::filesystem::permissions(std::filesystem::path{mount.path()}.parent_path(),
                                 std::filesystem::perms{0755});
  }

  /// What the attacker can learn by the files of the VM.
  [[nodiscard]] static std::string seen_by_attacker(const Mount& mount) {
    return run(joined(as_user(kAttacker), {"sh", "-c",
                                           "cd " + (mount / "vm") +
                                               " && { head -c 100 mem; tail -c +1048577 mem | head -c 1M; "
                                               "echo refresh > control; head -c 100 mem; "
                                               "tail -c +1048577 mem | head -c 1M; cat info control; }"}))
        .text;
  }

  [[nodiscard]] static bool is_set_uid(pid_t pid) {
    struct stat info {};
    return ::stat(fmt::format("/proc/{}/exe", pid).c_str(), &info) == 0 && (info.st_mode & S_ISUID) != 0;
  }

  TempDir root_;
  const std::string set_uid_ = root_ / "holder";
  AttackerProgram evil_{"executing"};
};

TEST_P(ExecuteAttack, SetUidProgram_IsNeverSeenAndTheVmEnds) {
  const pid_t pid = start(set_uid_);
  const Mount mount{{"-o", "allow_other", "--vm", spec(pid)}};
  open_to_all(mount);
  ASSERT_THAT(seen_by_attacker(mount), HasSubstr(std::string(100, 'x'))) << "the attack itself does not work";
  execute();
  ASSERT_TRUE(eventually([&] { return is_set_uid(pid); })) << "there is no set-uid program to read";
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < start + 3s) {
    ASSERT_EQ(seen_by_attacker(mount).find(kSecret), std::string::npos);
  }
  EXPECT_TRUE(eventually([&] { return !exists(mount / "vm/mem"); }));
  EXPECT_THAT(mount.log(), HasSubstr(fmt::format("process {} runs another program", pid)));
}

TEST_P(ExecuteAttack, SetUidProgram_IsNotAttached) {
  const pid_t pid = start(set_uid_);
  execute();
  ASSERT_TRUE(eventually([&] { return is_set_uid(pid); }));
  std::string why;
  try {
    const Mount mount{{"-o", "allow_other", "--vm", spec(pid)}};
  } catch (const std::exception& refused) {
    why = refused.what();
  }
  EXPECT_THAT(why, HasSubstr("set-uid"));
}

TEST_P(ExecuteAttack, SameProgram_VmEnds) {
  const pid_t pid = start(evil_.path());
  const Mount mount{{"-o", "allow_other", "--vm", spec(pid)}};
  ASSERT_TRUE(exists(mount / "vm/mem"));
  execute();
  EXPECT_TRUE(eventually([&] {
    return mount.log().find(fmt::format("process {} runs another program", pid)) != std::string::npos;
  })) << mount.log();
}

INSTANTIATE_TEST_SUITE_P(Left, ExecuteAttack, testing::Values("alone", "sibling"),
                         [](const auto& subject) { return std::string{subject.param}; });

} // namespace
} // namespace vmemfs::test
