// SPDX-License-Identifier: MIT
// A mount's options from the command line and the configuration: which one counts, and every kind of error.
#include "fs/config/mount_options.h"
#include "support/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace vmemfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class MountOptionsTest : public testing::Test {
protected:
  MountOptionsTest() { test::write_file(config_, ""); }

  /// With an empty configuration, so that none of this host counts.
  MadeOptions make(MountArguments arguments) const {
    if (!arguments.config) {
      arguments.config = config_;
    }
    return make_mount_options(std::move(arguments));
  }
  [[nodiscard]] std::vector<std::string> problems(MountArguments arguments) const {
    return make(std::move(arguments)).problems;
  }

  test::TempDir dir_;
  std::string config_ = dir_ / "config.toml";
};

TEST_F(MountOptionsTest, CommandLine_OverridesTheConfiguration) {
  test::write_file(config_, "[mount]\ncache_size = '1M'\ncache_ttl = '5s'\nmountpoint = '/a'\n"
                            "options = ['ro']\ndiscover_with = ['qemu']\n");
  const auto [options, problems] =
      make({.positionals = {"/mnt/../vms"},
            .fuse = {"allow_other,cache_size=2M,cache_kernel=off,x-ignored,defaults,nofail"},
            .settings = {{"cache_ttl", "1s"}, {"cache_ttl", "2s"}}});
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(options.mountpoint, "/vms");
  EXPECT_EQ(options.cache_size, 2U << 20U);
  EXPECT_EQ(options.vm_options.general.cache_ttl, std::chrono::seconds{2});
  EXPECT_EQ(options.vm_options.general.cache_kernel, CacheMode::off);
  EXPECT_THAT(options.fuse_options, ElementsAre("ro", "allow_other"));
  ASSERT_EQ(options.discoveries.size(), 1U);
  EXPECT_EQ(options.discoveries[0].driver, "qemu");
}

TEST_F(MountOptionsTest, WordsOfMount8_AreIgnored) {
  test::write_file(config_, "[mount]\noptions = ['relatime', 'noexec']\n");
  const auto [options, problems] = make(
      {.positionals = {"/mnt"},
       .fuse = {"rw,auto,noauto,nofail,_netdev,user,nouser,users,user=me,group,owner,nonempty",
                "relatime,norelatime,strictatime,lazytime,comment=x,x-systemd.automount,X-a=b,defaults"}});
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_THAT(options.fuse_options, ElementsAre("noexec", "rw"));
  EXPECT_FALSE(options.remount);
}

TEST_F(MountOptionsTest, Remount_IsNoOptionOfANewMount) {
  const auto [options, problems] = make({.positionals = {"none", "/mnt"}, .fuse = {"remount,ro"}});
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_TRUE(options.remount);
  EXPECT_THAT(options.fuse_options, ElementsAre("ro"));
  EXPECT_EQ(options.mountpoint, "/mnt");
  for (const MountArguments& more :
       {MountArguments{.vms = {"x=fake:size=1M"}}, MountArguments{.fuse = {"writable"}},
        MountArguments{.fuse = {"cache_size=1M"}}, MountArguments{.settings = {{"cache_ttl", "5s"}}}}) {
    MountArguments arguments = more;
    arguments.positionals = {"/mnt"};
    arguments.fuse.emplace_back("remount");
    EXPECT_THAT(make(std::move(arguments)).problems, ElementsAre(HasSubstr("remount changes flags")));
  }
}

TEST_F(MountOptionsTest, Remount_ConfigurationDoesNotCount) {
  test::write_file(config_, "[mount]\noptions = ['allow_other']\ncache_size = '1M'\n");
  const auto [options, problems] = make({.positionals = {"/mnt"}, .fuse = {"remount,ro"}});
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_THAT(options.fuse_options, ElementsAre("ro"));
}

TEST_F(MountOptionsTest, Source_IsTheOnlyVm) {
  const auto [options, problems] = make({.positionals = {"web01=fake:size=1M", "/mnt"}});
  EXPECT_THAT(problems, IsEmpty());
  ASSERT_EQ(options.vms.size(), 1U);
  EXPECT_EQ(options.vms[0].name, "web01");
  EXPECT_FALSE(options.discover);
  EXPECT_TRUE(make({.positionals = {"none", "/mnt"}}).options.discover);
}

TEST_F(MountOptionsTest, EmptyWord_IsNamed) {
  EXPECT_THAT(problems({}), ElementsAre("MOUNTPOINT is missing"));
  EXPECT_THAT(problems({.positionals = {""}}),
              ElementsAre("mountpoint: '' is not allowed; it takes a path", "MOUNTPOINT is missing"));
  EXPECT_THAT(problems({.positionals = {"/mnt"}, .config = ""}),
              ElementsAre("--config: the file's name is missing"));
  EXPECT_THAT(problems({.positionals = {"/mnt"}, .fuse = {"ro,max_read=4096"}}),
              ElementsAre(HasSubstr("max_read= is not an option")));
  EXPECT_THAT(problems({.positionals = {"/mnt"}, .fuse = {"subtype=x"}}),
              ElementsAre(HasSubstr("subtype= is not an option")));
  EXPECT_THAT(problems({.positionals = {"/mnt"}, .fuse = {"config="}}),
              ElementsAre("--config: the file's name is missing"));
  EXPECT_THAT(problems({.positionals = {"/mnt"}, .vms = {""}}),
              ElementsAre(HasSubstr("it names no VM and no driver")));
  EXPECT_THAT(problems({.positionals = {"/mnt"}, .discoveries = {""}}),
              ElementsAre(HasSubstr("there is no driver ''")));
}

TEST_F(MountOptionsTest, OptionsOfTheConfiguration_AreCheckedToo) {
  test::write_file(config_, "[mount]\nmountpoint = '/mnt'\noptions = ['max_read=4096']\n");
  EXPECT_THAT(problems({}), ElementsAre(HasSubstr("max_read= is not an option")));
}

TEST_F(MountOptionsTest, ConfigThatCannotBeRead_IsTheOnlyProblem) {
  test::write_file(config_, "[mount\nmountpoint = '/mnt'\n");
  EXPECT_THAT(problems({}), ElementsAre(HasSubstr(config_ + ":1: ")));
}

TEST_F(MountOptionsTest, CacheSize_MayBe0OrAPage) {
  for (const char* const size : {"0", "4096", "4K"}) {
    EXPECT_THAT(problems({.positionals = {"/mnt"}, .settings = {{"cache_size", size}}}), ElementsAre())
        << size;
  }
}

TEST_F(MountOptionsTest, BadValue_IsNamedWithItsOption) {
  const struct {
    MountArguments arguments;
    const char* complaint;
  } cases[] = {
      {{.settings = {{"cache_size", "16777216T"}}},
       "--cache-size: '16777216T' is not allowed; it takes a size"},
      {{.fuse = {"cache_size="}}, "--cache-size: '' is not allowed; it takes a size"},
      {{.settings = {{"cache_size", "10"}}}, "--cache-size: 10 bytes have no room for a page; give it 4096"},
      {{.fuse = {"cache_ttl=1441m"}}, "--cache-ttl: '1441m' is not allowed; it takes a duration"},
      {{.settings = {{"cache_ttl", "99999999999999999999s"}}}, "--cache-ttl: '99999999999999999999s' is not"},
      {{.vms = {"web01=qemu:pid=2147483648"}}, "pid: '2147483648' is not allowed; it takes a number, 1 to"},
      {{.vms = {"web01=fake:size=18446744073709551616"}}, "size: '18446744073709551616' is not allowed"},
      {{.vms = {"a/b=fake"}}, "VM 'a/b=fake': 'a/b' cannot be a VM's name here"},
      {{.discoveries = {"nope"}}, "--discover 'nope': discovery: there is no driver 'nope' here"},
      {{.discoveries = {"qemu"}, .settings = {{"discover", "off"}}},
       "--discover and --no-discover exclude each other"},
      {{.settings = {{"discover", "off"}}}, "no VM is named; omit --no-discover, or add --vm"},
  };
  for (const auto& [arguments, complaint] : cases) {
    MountArguments complete = arguments;
    complete.positionals = {"/mnt"};
    EXPECT_THAT(problems(complete), ElementsAre(HasSubstr(complaint)));
  }
}

} // namespace
} // namespace vmemfs
