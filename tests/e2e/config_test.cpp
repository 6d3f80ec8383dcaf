// SPDX-License-Identifier: MIT
// A mount with a configuration file, and the command line that overrides it.
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

mode_t mode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

TEST(Configured, ConfiguredVms_AreAttachedWithTheirOptions) {
  const TempDir dir;
  write_file(dir / "c.toml", R"(
[mount]
discover = false
writable = true
[vm.plain]
driver = "fake"
size = "1M"
[vm."two words, and = \"more\""]
driver = "fake"
size = 2097152
writable = false
mode = 0o640
[vm.byhand]
mode = "0644"
writable = false
)");
  Mount mount{{"--config", dir / "c.toml"}, Discover::on};
  EXPECT_EQ(mode_of(mount / "plain/mem"), 0600U);
  EXPECT_EQ(mode_of(mount / "two words, and = \"more\"/mem"), 0440U);
  EXPECT_EQ(std::filesystem::file_size(mount / "two words, and = \"more\"/mem"), 2U << 20U);
  // Options of a VM that is attached by other means; its own options have priority.
  EXPECT_EQ(try_write(mount / ".vmemfs/control", "attach byhand=fake:size=1M\n"), 0);
  EXPECT_EQ(mode_of(mount / "byhand/mem"), 0444U);
  EXPECT_EQ(try_write(mount / ".vmemfs/control", "detach byhand\n"), 0);
  EXPECT_TRUE(eventually([&] { return !exists(mount / "byhand"); }));
  // For a moment the name may still be taken, or the kernel may still have the entry of the VM that left.
  const std::string attach = "attach byhand=fake:size=1M,mode=0660,writable=on\n";
  EXPECT_TRUE(eventually([&] { return try_write(mount / ".vmemfs/control", attach) == 0; }));
  EXPECT_TRUE(eventually([&] { return exists(mount / "byhand/mem"); }));
  EXPECT_EQ(mode_of(mount / "byhand/mem"), 0660U);
  EXPECT_EQ(mount.unmount(), 0);
}

TEST(Configured, VmStartedLater_IsAttachedThen) {
  const TempDir dir;
  write_file(
      dir / "c.toml",
      fmt::format("[mount]\ndiscover = false\n[vm.later]\ndriver = 'dump'\npath = '{}'\n", dir / "image"));
  Mount mount{{"--config", dir / "c.toml"}, Discover::on};
  EXPECT_FALSE(exists(mount / "later"));
  EXPECT_THAT(read_file(mount / ".vmemfs/control"), HasSubstr("refused dump - later: "));
  write_file(dir / "image", std::string(8192, 'x'));
  EXPECT_TRUE(eventually([&] { return exists(mount / "later/mem"); }, 15s));
  EXPECT_EQ(mount.unmount(), 0);
}

TEST(Configured, CommandLine_OverridesTheFile) {
  const TempDir dir;
  write_file(dir / "c.toml", R"(
[mount]
discover = true
mountpoint = "/nonexistent"
writable = true
options = "fsname=from-config"
[vm.a]
driver = "fake"
size = "1M"
[vm.b]
driver = "fake"
size = "1M"
mode = "0444"
)");
  Mount mount{{"--config", dir / "c.toml", "--no-discover", "--no-writable", "--vm", "b=fake:size=4M"},
              Discover::on};
  EXPECT_EQ(mode_of(mount / "a/mem"), 0400U);
  EXPECT_EQ(std::filesystem::file_size(mount / "b/mem"), 4U << 20U) << "its driver and parameters";
  EXPECT_EQ(mode_of(mount / "b/mem"), 0444U) << "what it does not say";
  EXPECT_THAT(read_file("/proc/self/mounts"), HasSubstr("from-config " + mount.path()));
  EXPECT_EQ(mount.unmount(), 0);
}

TEST(Configured, DefaultPaths_AreTriedInOrder) {
  const TempDir dir;
  std::filesystem::create_directories(dir / "home/.config/vmemfs");
  std::filesystem::create_directories(dir / "xdg/vmemfs");
  std::filesystem::create_directory(dir / "mnt");
  const auto complaint = [&](const std::vector<std::string>& environment) {
    std::vector<std::string> args{"env"};
    args.insert(args.end(), environment.begin(), environment.end());
    args.insert(args.end(), {VMEMFS_PROGRAM, "-f", "--no-discover", dir / "mnt"});
    return run(args).text;
  };
  const std::string home = "HOME=" + (dir / "home");
  const std::string xdg = "XDG_CONFIG_HOME=" + (dir / "xdg");
  // Files with an error each, which identifies the file that was read.
  write_file(dir / "home/.config/vmemfs/config.toml", "[home]");
  EXPECT_THAT(complaint({home, "XDG_CONFIG_HOME="}), HasSubstr("'home' is unknown"));
  EXPECT_THAT(complaint({home, xdg}), Not(HasSubstr("'home'"))) << "it is set, and has none";
  write_file(dir / "xdg/vmemfs/config.toml", "[xdg]");
  EXPECT_THAT(complaint({home, xdg}), HasSubstr("'xdg' is unknown"));
  write_file(dir / "given.toml", "[given]");
  const auto given = run({"env", home, xdg, VMEMFS_PROGRAM, "--config", dir / "given.toml", dir / "mnt"});
  EXPECT_THAT(given.text, HasSubstr("'given' is unknown"));
  EXPECT_THAT(given.text, Not(HasSubstr("'xdg'")));
}

/// A test machine has no configuration in /etc, so the test creates one in its own mount namespace.
TEST(Configured, Etc_IsTriedLast) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  const TempDir dir;
  std::filesystem::create_directories(dir / "etc/vmemfs");
  std::filesystem::create_directory(dir / "mnt");
  write_file(dir / "etc/vmemfs/config.toml", "[etc]");
  const std::string script = fmt::format(
      "mount -t overlay overlay -o lowerdir={}:/etc /etc && exec env -u XDG_CONFIG_HOME HOME=/ {} {}",
      dir / "etc", VMEMFS_PROGRAM, dir / "mnt");
  const auto result = run({"unshare", "-m", "sh", "-c", script});
  if (result.text.find("mount:") != std::string::npos) {
    GTEST_SKIP() << "no overlay filesystem: " << result.text;
  }
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.text, HasSubstr("/etc/vmemfs/config.toml:1: 'etc' is unknown"));
}

TEST(Configured, ManyProblems_AreReportedTogether) {
  const TempDir dir;
  std::filesystem::create_directory(dir / "mnt");
  write_file(dir / "c.toml", "[mount]\nx = 1\n[vm.a]\ndriver = 'dump'\n");
  const auto result = run(
      {VMEMFS_PROGRAM, "--config", dir / "c.toml", "--vm", "b=fake:y=1", "--cache-ttl", "z", dir / "mnt"});
  EXPECT_EQ(result.code, 2);
  for (const char* part :
       {"c.toml:2: there is no parameter 'x'", "c.toml:3: dump: path is missing",
        "VM 'b=fake:y=1': fake: there is no parameter 'y'", "--cache-ttl: 'z' is not allowed"}) {
    EXPECT_THAT(result.text, HasSubstr(part));
  }
  EXPECT_FALSE(is_mountpoint(dir / "mnt"));
}

TEST(ByName, NameAlone_TriesEachDriver) {
  GuestOptions options;
  options.name = "by-name-alone";
  QemuGuest guest{options};
  Mount mount{{"--vm", "by-name-alone"}};
  guest.pause();
  const auto truth = guest.pmemsave(0x100000, 4096);
  EXPECT_EQ(read_file(mount / "by-name-alone/mem_padded")
                .compare(0x100000, 4096, reinterpret_cast<const char*>(truth.data()), 4096),
            0);
  EXPECT_EQ(try_write(mount / ".vmemfs/control", "detach by-name-alone\nattach other=:name=by-name-alone\n"),
            0);
  EXPECT_TRUE(exists(mount / "other/mem"));
  EXPECT_NE(try_write(mount / ".vmemfs/control", "attach nobody-has-this\n"), 0);
  EXPECT_EQ(mount.unmount(), 0);
}

/// Types into an interactive bash; returns the command line after the last tab.
std::string typed(const std::string& keys) {
  const TempDir dir;
  std::filesystem::create_symlink(VMEMFS_PROGRAM, dir / "vmemfs");
  write_file(dir / "rc",
             fmt::format("PATH={}:$PATH\nPS1=\nset +o history\nsource {}/packaging/completion/vmemfs.bash\n",
                         dir.path(), VMEMFS_SOURCE_DIR));
  // Edits the start (^A) and end of the line, so that the command is printed, not run.
  write_file(dir / "keys", "vmemfs " + keys + "\x01printf 'typed<%s>\\n' \x05\nexit\n");
  const auto result = run({"sh", "-c",
                           fmt::format("INPUTRC=/dev/null TERM=dumb script -qec 'bash --rcfile {0}/rc -i' "
                                       "/dev/null < {0}/keys",
                                       dir.path())});
  std::string words;
  for (std::size_t at = result.text.find("typed<"); at != std::string::npos;
       at = result.text.find("typed<", at + 1)) {
    const std::size_t end = result.text.find('>', at);
    words += (words.empty() ? "" : " ") + result.text.substr(at + 6, end - at - 6);
  }
  return words;
}

TEST(BashCompletion, OffersDeclaredNames) {
  EXPECT_THAT(typed("dri\tqe\t"), HasSubstr("vmemfs drivers qemu"));
  EXPECT_THAT(typed("--vm web01=qe\tpi\t4711,ti\t"), HasSubstr("vmemfs --vm web01=qemu:pid=4711,timeout="));
  EXPECT_THAT(typed("--vm x=fake:pat\tz\t"), HasSubstr("vmemfs --vm x=fake:pattern=zero"));
  EXPECT_THAT(typed("--no-w\t"), HasSubstr("vmemfs --no-writable"));
  EXPECT_THAT(typed("--config /etc/pass\t"), HasSubstr("vmemfs --config /etc/passwd"));
}

} // namespace
} // namespace vmemfs::test
