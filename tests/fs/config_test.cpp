// SPDX-License-Identifier: MIT
// The configuration file: valid contents, and every kind of error with its message and line.
#include "fs/config/config.h"
#include "support/files.h"

#include <algorithm>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

class ConfigTest : public testing::Test {
protected:
  Config read(std::string_view text) const {
    test::write_file(path(), text);
    return read_config(path());
  }
  [[nodiscard]] std::string path() const { return dir_ / "config.toml"; }

  test::TempDir dir_;
};

TEST_F(ConfigTest, Settings_OfEveryType_AreAccepted) {
  const Config config = read(R"(
[mount]
mountpoint = "/mnt/vms"
discover = false
cache_size = 1048576
cache_ttl = "100ms"
options = ["allow_other", "ro"]
discover_with = ["qemu", "libvirt:uri=test:///default,host=on"]
writable = true
owner = 0
mode = 0o640
)");
  EXPECT_THAT(config.problems, IsEmpty());
  EXPECT_THAT(config.mount, UnorderedElementsAre(
                                KeyValue{"mountpoint", "/mnt/vms"}, KeyValue{"discover", "off"},
                                KeyValue{"cache_size", "1048576"}, KeyValue{"cache_ttl", "100ms"},
                                KeyValue{"options", "allow_other,ro"},
                                KeyValue{"discover_with", "qemu\nlibvirt:uri=test:///default,host=on"},
                                KeyValue{"writable", "on"}, KeyValue{"owner", "0"}, KeyValue{"mode", "640"}));
}

TEST_F(ConfigTest, VmsHaveParametersAndOptions) {
  const Config config = read(R"(
[vm.web01]
driver = "fake"
size = "1M"
vcpus = 2
writable = true
[vm.'a "b", c=d']
driver = "dump"
path = '/x, "y" \z = '
[vm.found]
mode = "0644"
[vm.any]
pid = 4711
path = "/x"
)");
  EXPECT_THAT(config.problems, IsEmpty());
  ASSERT_EQ(config.vms.size(), 4U);
  const auto vm = [&](const std::string& name) {
    return *std::ranges::find(config.vms, name, [](const ConfiguredVm& entry) { return entry.spec.name; });
  };
  EXPECT_TRUE(vm("web01").attach);
  EXPECT_EQ(vm("web01").spec.driver, "fake");
  EXPECT_THAT(parse_pairs(vm("web01").spec.params).pairs,
              UnorderedElementsAre(KeyValue{"size", "1M"}, KeyValue{"vcpus", "2"}));
  EXPECT_EQ(vm("web01").spec.options, "writable=on");
  EXPECT_THAT(parse_pairs(vm("a \"b\", c=d").spec.params).pairs,
              ElementsAre(KeyValue{"path", R"(/x, "y" \z = )"}));
  EXPECT_FALSE(vm("found").attach);
  EXPECT_EQ(vm("found").spec.options, "mode=0644");
  EXPECT_TRUE(vm("any").attach);
  EXPECT_EQ(vm("any").spec.driver, "");
}

TEST_F(ConfigTest, ShippedExample_IsValid) {
  const Config config = read_config(VMEMFS_SOURCE_DIR "/packaging/config.toml");
  EXPECT_THAT(config.problems, IsEmpty());
  EXPECT_FALSE(config.mount.empty());
  EXPECT_EQ(config.vms.size(), 3U);
}

TEST_F(ConfigTest, EmptyFile_HasNoSettings) {
  for (const char* text : {"", "# nothing\n", "[mount]\n[vm]\n"}) {
    const Config config = read(text);
    EXPECT_THAT(config.problems, IsEmpty());
    EXPECT_THAT(config.mount, IsEmpty());
    EXPECT_TRUE(config.vms.empty());
  }
}

TEST_F(ConfigTest, ManyProblems_AreReportedInLineOrder) {
  const Config config = read(R"([vm.web01]
driver = "qemu"
tmeout = "1s"
[vm.f]
driver = "fake"
size = 0
[mount]
discover = "maybe"
)");
  EXPECT_THAT(
      config.problems,
      ElementsAre(path() + ":1: qemu: one of qmp, pid, name is needed; for example qmp=/run/web01.qmp",
                  AllOf(HasSubstr(
                      path() + ":3: there is no parameter 'tmeout' (known: qmp, pid, name, map, "
                               "keep, timeout, tcp, writable, cache_kernel, cache_ttl, owner, group, mode)")),
                  HasSubstr(path() + ":6: size: '0' is not allowed; it takes a size"),
                  path() + ":8: discover: 'maybe' is not allowed; it takes on or off"));
}

struct Bad {
  const char* text;
  const char* complaint; ///< with the line
};
class BadConfig : public testing::TestWithParam<Bad> {};

TEST_P(BadConfig, IsReportedWithItsLine) {
  const test::TempDir dir;
  test::write_file(dir / "c.toml", GetParam().text);
  const Config config = read_config(dir / "c.toml");
  ASSERT_EQ(config.problems.size(), 1U) << testing::PrintToString(config.problems);
  EXPECT_THAT(config.problems.front(), testing::StartsWith((dir / "c.toml") + GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadConfig,
    testing::Values(
        Bad{"[mount]\ncache_sze = 1",
            ":2: there is no parameter 'cache_sze' (known: mountpoint, discover, discover_with, options"},
        Bad{"[mount]\ncache_size = 'lots'", ":2: cache_size: 'lots' is not allowed; it takes a size"},
        Bad{"[mount]\ncache_size = -1", ":2: cache_size: '-1' is not allowed"},
        Bad{"[mount]\ncache_size = 1.5", ":2: cache_size: this is not allowed; it takes a size"},
        Bad{"[mount]\ncache_ttl = '2 days'", ":2: cache_ttl: '2 days' is not allowed; it takes a duration"},
        Bad{"[mount]\ncache_ttl = '1441m'",
            ":2: cache_ttl: '1441m' is not allowed; it takes a duration (a number with "
            "ms, s, m, h or d), at most 1d"},
        Bad{"[mount]\ncache_ttl = 100", ":2: cache_ttl: '100' is not allowed; it takes a duration"},
        Bad{"[mount]\nwritable = 'perhaps'", ":2: writable: 'perhaps' is not allowed; it takes on or off"},
        Bad{"[mount]\nwritable = 2", ":2: writable: '2' is not allowed"},
        Bad{"[mount]\nmountpoint = \"/mnt/\\u0000vms\"",
            ":2: mountpoint: '/mnt/\\x00vms' is not allowed; it takes a path"},
        Bad{"[mount]\ncache_size = '16777216T'", ":2: cache_size: '16777216T' is not allowed"},
        Bad{"[mount]\ncache_size = 9223372036854775808", ":2: "},
        Bad{"[mount]\ncache_ttl = '99999999999999999999s'", ":2: cache_ttl: '99999999999999999999s' is not"},
        Bad{"[mount]\ncache_ttl = ''", ":2: cache_ttl: '' is not allowed; it takes a duration"},
        Bad{"[mount]\nmode = -0640", ":2: "}, Bad{"[mount]\nmode = ''", ":2: mode: '' is not allowed"},
        Bad{"[mount]\nowner = -1", ":2: owner: '-1' is not allowed"},
        Bad{"[mount]\noptions = []", ":2: options: '' is not allowed; it takes text"},
        Bad{"[vm.\"a\\u0000b\"]\ndriver = 'fake'", ":1: 'a\\x00b' cannot be a VM's name here"},
        Bad{"[[vm]]\ndriver = 'fake'", ":1: 'vm' has to be a table, [vm.NAME]"},
        Bad{"[vm.a.b]\ndriver = 'fake'", ":1: there is no parameter 'b' (known: "},
        Bad{"[mount]\nmountpoint = ''", ":2: mountpoint: '' is not allowed; it takes a path"},
        Bad{"[mount.x]", ":1: there is no parameter 'x' (known: mountpoint"},
        Bad{"[mount]\noptions = [1]", ":2: options: this is not allowed; it takes text"},
        Bad{"[mount]\nmode = 640",
            ":2: mode: this is not allowed; it takes permission bits in octal, of 0666, as "
            "\"0640\""},
        Bad{"[mount]\nmode = '0777'", ":2: mode: '0777' is not allowed"},
        Bad{"[mount]\nowner = 'no-such-user'",
            ":2: owner: 'no-such-user' is not allowed; it takes a user of this"},
        Bad{"[mount]\ngroup = 'no-such-group'", ":2: group: 'no-such-group' is not allowed"},
        Bad{"[mount]\ndiscover = 1979-05-27", ":2: discover: this is not allowed"},
        Bad{"mount = 1", ":1: 'mount' has to be a table, [mount]"},
        Bad{"vm = 1", ":1: 'vm' has to be a table, [vm.NAME]"},
        Bad{"\n[mounts]", ":2: 'mounts' is unknown; valid are [mount] and [vm.NAME]"},
        Bad{"[vm]\nweb01 = 'qemu:pid=1'", ":2: a VM has to be a table, [vm.web01]"},
        Bad{"[vm.'a/b']\ndriver = 'fake'", ":1: 'a/b' cannot be a VM's name here"},
        Bad{"[vm.'']\ndriver = 'fake'", ":1: '' cannot be a VM's name here"},
        Bad{"[vm.a]\ndriver = 'nope'\nx = 1", ":2: there is no driver 'nope' here; there are "},
        Bad{"[vm.a]\ndriver = 1",
            ":2: driver: this is not allowed; it takes the name of a driver, in quotes"},
        Bad{"[vm.a]\ndriver = 'dump'", ":1: dump: path is missing; for example path=/var/dumps/web01.elf"},
        Bad{"[vm.a]\ndriver = 'qemu'\npid = 0",
            ":3: pid: '0' is not allowed; it takes a number, 1 to 2147483647"},
        Bad{"[vm.a]\ndriver = 'fake'\npattern = 'x'",
            ":3: pattern: 'x' is not allowed; it takes one of address"},
        Bad{"[vm.a]\nnonsense = 1", ":2: there is no parameter 'nonsense' (known: "},
        Bad{"[mount]\ndiscover = true\ndiscover = true", ":3: "}, Bad{"[mount", ":1: "},
        Bad{"[mount]\ncache_size = 64M", ":2: "}, Bad{"[vm.a]\nx = \"open", ":2: "}));

/// A key of 200,000 parts makes as many tables, one within the other.
TEST_F(ConfigTest, VeryLongKey_IsReported) {
  std::string parts;
  for (unsigned i = 0; i < 200'000; ++i) {
    parts += "a.";
  }
  const auto problem = ElementsAre(HasSubstr(":2: a key has more than 100 parts"));
  EXPECT_THAT(read("[mount]\n" + parts + "a = 1\n").problems, problem);
  EXPECT_THAT(read("\n[" + parts + "a]\n").problems, problem);
  EXPECT_THAT(read("# it's\nx = [ \"\", {" + parts + "a = 1}]\n").problems, problem);
}

TEST_F(ConfigTest, DotsInStringsAndComments_AreNoParts) {
  const std::string dots(1000, '.');
  const Config config =
      read("# " + dots + "\n[vm.a] # " + dots + "\ndriver = 'dump'\npath = \"/\\\"" + dots + "\"\n" +
           "[vm.'" + dots + "a']\ndriver = 'dump'\npath = \"\"\"/\"" + dots + "\"\"\"\n");
  for (const std::string& problem : config.problems) {
    EXPECT_THAT(problem, Not(HasSubstr("parts")));
  }
  EXPECT_EQ(config.vms.size(), 2U);
}

TEST_F(ConfigTest, VeryManyProblems_AreCounted) {
  std::string text = "[vm.a]\n";
  for (unsigned i = 0; i < 5000; ++i) {
    text += fmt::format("k{} = 1\n", i);
  }
  const auto problems = read(text).problems;
  ASSERT_EQ(problems.size(), 1001U);
  EXPECT_THAT(problems.back(), HasSubstr("there are 4000 more problems"));
}

TEST(BadConfigFile, Unreadable_IsReported) {
  const test::TempDir dir;
  EXPECT_THAT(read_config(dir / "none").problems,
              ElementsAre((dir / "none") + ": cannot read it: No such file or directory"));
  EXPECT_THAT(read_config(dir.path()).problems, ElementsAre(HasSubstr("cannot read it: Is a directory")));
  EXPECT_THAT(read_config("/dev/zero").problems,
              ElementsAre(HasSubstr("cannot read it: it is not a regular file; name one")));
  test::write_file(dir / "large", std::string((1U << 20U) + 1, '#'));
  EXPECT_THAT(read_config(dir / "large").problems, ElementsAre(HasSubstr("cannot read it: File too large")));
}

} // namespace
} // namespace vmemfs
