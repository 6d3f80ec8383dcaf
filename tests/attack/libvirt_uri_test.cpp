// SPDX-License-Identifier: MIT
// A URI of libvirt that runs a command, in settings that the user has not
// named.
#include "attack/attack.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/users.h"

#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>

namespace vmemfs::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// libvirt's transport `ext` runs a command.
class LibvirtUriAttack : public AttackTest {
protected:
  void SetUp() override {
    AttackTest::SetUp();
    if (run({VMEMFS_PROGRAM, "drivers", "libvirt"}).code != 0) {
      GTEST_SKIP() << "the driver was not compiled in";
    }
    write_file(dir_ / "command", fmt::format("#!/bin/sh\necho ran >> {}/ran\n", dir_.path()));
    std::filesystem::permissions(dir_.path(), std::filesystem::perms{0777});
    std::filesystem::permissions(dir_ / "command", std::filesystem::perms{0755});
    std::filesystem::create_directory(dir_ / "libvirt");
  }

  [[nodiscard]] std::string uri() const {
    return fmt::format("qemu+ext:///system?command={}/command", dir_.path());
  }
  [[nodiscard]] bool ran() const { return exists(dir_ / "ran"); }
  [[nodiscard]] RunResult list(const std::vector<std::string>& environment,
                               const std::vector<std::string>& args = {}) const {
    return run(
        joined(joined(joined(as_user(kVictim), {"timeout", "30", "env", "HOME=/nonexistent"}), environment),
               joined({VMEMFS_PROGRAM, "list"}, args)));
  }
  void write_conf(const std::string& text, uid_t owner) const {
    write_file(dir_ / "libvirt/libvirt.conf", text);
    for (const std::string& path : {dir_.path(), dir_ / "libvirt", dir_ / "libvirt/libvirt.conf"}) {
      give(path, owner);
    }
  }

  TempDir dir_;
};

TEST_F(LibvirtUriAttack, CommandInTheEnvironment_IsNotRun) {
  const auto listed = list({"LIBVIRT_DEFAULT_URI=" + uri()});
  EXPECT_FALSE(ran()) << listed.text;
  EXPECT_THAT(listed.text, AllOf(HasSubstr("LIBVIRT_DEFAULT_URI"), HasSubstr("--discover")));
}

TEST_F(LibvirtUriAttack, CommandOnTheCommandLine_IsRun) {
  static_cast<void>(list({}, {"--discover", fmt::format("libvirt:uri=\"{}\"", uri())}));
  EXPECT_TRUE(ran());
}

TEST_F(LibvirtUriAttack, CommandInLibvirtConfOfAnotherUser_IsNotRun) {
  std::filesystem::permissions(dir_.path(), std::filesystem::perms{0755});
  write_conf(fmt::format("uri_default = \"{}\"\n", uri()), kAttacker);
  const auto listed = list({"XDG_CONFIG_HOME=" + dir_.path()});
  EXPECT_FALSE(ran()) << listed.text;
  EXPECT_THAT(listed.text, AllOf(HasSubstr("libvirt.conf"), HasSubstr(fmt::format("uid {}", kAttacker))));
}

TEST_F(LibvirtUriAttack, CommandInOwnLibvirtConf_IsRun) {
  std::filesystem::permissions(dir_.path(), std::filesystem::perms{0755});
  write_conf(fmt::format("uri_default = \"{}\"\n", uri()), kVictim);
  static_cast<void>(list({"XDG_CONFIG_HOME=" + dir_.path()}));
  EXPECT_TRUE(ran());
}

TEST_F(LibvirtUriAttack, AliasOfAnotherUsersLibvirtConf_IsNotResolved) {
  std::filesystem::permissions(dir_.path(), std::filesystem::perms{0755});
  write_conf(fmt::format("uri_aliases = [ \"hail={}\" ]\n", uri()), kAttacker);
  const auto listed = list({"XDG_CONFIG_HOME=" + dir_.path()}, {"--discover", "libvirt:uri=hail"});
  EXPECT_FALSE(ran()) << listed.text;
}

} // namespace
} // namespace vmemfs::test
