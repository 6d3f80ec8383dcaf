// SPDX-License-Identifier: MIT
// Settings that a stranger wrote, and that root comes upon by its environment or names by mistake.
#include "attack/attack.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/users.h"

#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

namespace vmemfs::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ConfigAttack : public AttackTest {
protected:
  void SetUp() override {
    AttackTest::SetUp();
    std::filesystem::create_directories(dir_ / "vmemfs");
    std::filesystem::permissions(dir_.path(), std::filesystem::perms{0755});
    write_file(config(), "[mount]\ndiscover = false\n\n[vm.web01]\ndriver = 'fake'\n");
  }

  [[nodiscard]] std::string config() const { return dir_ / "vmemfs/config.toml"; }

  /// Of root, in whose environment the attacker's directory is.
  [[nodiscard]] RunResult list(const std::vector<std::string>& args = {}) const {
    return run(
        joined({"timeout", "10", "env", "XDG_CONFIG_HOME=" + dir_.path(), VMEMFS_PROGRAM, "list"}, args));
  }

  TempDir dir_;
};

TEST_F(ConfigAttack, ConfigOfOwnUser_Found_IsRead) { EXPECT_EQ(list().code, 0) << list().text; }

TEST_F(ConfigAttack, ConfigOfAnotherUser_Found_IsRefused) {
  give(config(), kAttacker);
  const auto listed = list();
  EXPECT_EQ(listed.code, 2) << listed.text;
  EXPECT_THAT(listed.text, AllOf(HasSubstr(config()), HasSubstr(fmt::format("belongs to uid {}", kAttacker)),
                                 HasSubstr("--config")));
  EXPECT_EQ(list({"--config", config()}).code, 0) << "the user's own word";
}

TEST_F(ConfigAttack, ConfigThatOthersCanReplace_Found_IsRefused) {
  give(dir_ / "vmemfs", kAttacker);
  EXPECT_EQ(list().code, 2);
  give(dir_ / "vmemfs", 0);
  for (const std::string& path : {config(), dir_ / "vmemfs", dir_.path()}) {
    for (const mode_t mode : {0775, 0757}) {
      ASSERT_EQ(::chmod(path.c_str(), mode), 0);
      const auto listed = list();
      EXPECT_EQ(listed.code, 2) << path << listed.text;
      EXPECT_THAT(listed.text, HasSubstr(fmt::format("run chmod go-w '{}'", path)));
    }
    ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  }
  EXPECT_EQ(list().code, 0);
}

TEST_F(ConfigAttack, LinkOfAnotherUser_Found_IsRefused) {
  std::filesystem::rename(config(), dir_ / "other.toml");
  std::filesystem::create_symlink(dir_ / "other.toml", config());
  EXPECT_EQ(list().code, 0) << "root's own link";
  ASSERT_EQ(::lchown(config().c_str(), kAttacker, kAttacker), 0);
  EXPECT_EQ(list().code, 2);
}

TEST_F(ConfigAttack, FifoOrDevice_IsRefusedAtOnce) {
  std::filesystem::remove(config());
  ASSERT_EQ(::mkfifo(config().c_str(), 0600), 0);
  for (const auto& listed : {list(), list({"--config", config()}), list({"--config", "/dev/zero"})}) {
    EXPECT_EQ(listed.code, 2) << listed.text;
    EXPECT_THAT(listed.text, HasSubstr("it is not a regular file; name one"));
  }
}

} // namespace
} // namespace vmemfs::test
