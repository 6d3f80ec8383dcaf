// SPDX-License-Identifier: MIT
// The process that mounts and unmounts for the daemon, however the daemon ends.
#include "support/mount.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// It takes less than two seconds on a host that is not busy.
constexpr milliseconds kPromise{20000};

std::vector<std::string> entries(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator{directory}) {
    names.push_back(entry.path().filename());
  }
  return names;
}

/// The only standby of the mounter, once it is another one than `before`; 0 if there is none within the time.
pid_t standby_of(pid_t mounter, pid_t before = 0) {
  pid_t standby = 0;
  static_cast<void>(eventually([&] {
    const auto now = children_of(mounter, "vmemfs-mount");
    standby = now.size() == 1 && now.front() != before ? now.front() : 0;
    return standby != 0;
  }));
  return standby;
}

TEST(Mounter, UnmountsWhenTheDaemonIsKilled) {
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_EQ(pread_at(mem.get(), 0, 16).error, 0);
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }, kPromise));
  EXPECT_THAT(entries(mount.path()), testing::IsEmpty());
  EXPECT_THAT(read_file("/proc/self/mountinfo"), testing::Not(testing::HasSubstr(mount.path())));
  EXPECT_TRUE(eventually([&] { return has_ended(mounter); }, kPromise));
  EXPECT_EQ(pread_at(mem.get(), 0, 16).error, ENOTCONN);
}

TEST(Mounter, DaemonKilled_MountpointIsReusableImmediately) {
  const TempDir dir;
  const std::string mountpoint = dir / "with blank and \\";
  std::filesystem::create_directory(mountpoint);
  for (int i = 0; i < 5; ++i) {
    ChildProcess daemon{{VMEMFS_PROGRAM, "-f", "--no-discover", "--vm", "a=fake", mountpoint}, dir / "log"};
    ASSERT_TRUE(eventually([&] { return exists(mountpoint + "/a/mem"); })) << read_file(dir / "log");
    daemon.signal(SIGKILL);
    ASSERT_TRUE(eventually([&] { return is_plain_directory(mountpoint); }, kPromise)) << i;
  }
}

TEST(Mounter, DaemonEndsCleanly_LeavesNothing) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, 0}) {
    Mount mount{{"--vm", "vm=fake"}};
    const pid_t mounter = mount.mounter();
    const UniqueFd mem{signal != 0 ? ::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC) : -1};
    if (signal == 0) {
      EXPECT_EQ(mount.unmount(), 0);
    } else {
      mount.daemon().signal(signal);
      EXPECT_EQ(mount.daemon().wait(seconds{20}), 0) << mount.log();
    }
    EXPECT_TRUE(is_plain_directory(mount.path()));
    EXPECT_TRUE(has_ended(mounter));
    EXPECT_THAT(mount.log(), testing::Not(testing::ContainsRegex("fail|cannot|warning|error")));
  }
}

TEST(Mounter, EndsWithTheLastOpenFileOfALazyUnmount) {
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_EQ(run({"fusermount3", "-u", "-z", mount.path()}).code, 0);
  EXPECT_EQ(pread_at(mem.get(), 0, 16).error, 0); // still served
  mem.reset();
  EXPECT_EQ(mount.daemon().wait(seconds{20}), 0);
  EXPECT_TRUE(has_ended(mounter));
}

TEST(Mounter, ForeignMountThere_IsKept) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "mounting a tmpfs takes root";
  }
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  mount.daemon().signal(SIGSTOP); // it cannot report that the mount is gone
  ASSERT_EQ(::umount2(mount.path().c_str(), MNT_DETACH), 0);
  ASSERT_EQ(::mount("tmpfs", mount.path().c_str(), "tmpfs", 0, nullptr), 0);
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return has_ended(mounter); }, kPromise));
  EXPECT_TRUE(is_mountpoint(mount.path()));
  EXPECT_EQ(::umount(mount.path().c_str()), 0);
}

TEST(Mounter, ForeignMountOnTop_IsKept) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "mounting a tmpfs takes root";
  }
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  ASSERT_EQ(::mount("tmpfs", mount.path().c_str(), "tmpfs", 0, nullptr), 0);
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return has_ended(mounter); }, kPromise));
  EXPECT_TRUE(is_mountpoint(mount.path()));
  EXPECT_EQ(::umount(mount.path().c_str()), 0);
  EXPECT_EQ(run({"fusermount3", "-u", mount.path()}).code, 0);
}

TEST(Mounter, TerminationSignals_AreIgnored) {
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE}) {
    ::kill(mounter, signal);
  }
  EXPECT_NE(::getsid(mounter), ::getsid(mount.daemon().pid()));
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }, kPromise));
}

TEST(Mounter, Started_KeepsNothingOfTheDaemon) {
  const Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  const std::string fds = fmt::format("/proc/{}/fd", mounter);
  ASSERT_TRUE(eventually([&] { return !children_of(mounter, "vmemfs-mount").empty(); })) << "its standby";
  std::vector<std::string> targets;
  const auto is_complete = [&] { // it opens some when the daemon is served already
    targets.clear();
    for (const std::string& name : entries(fds)) {
      targets.push_back(std::filesystem::read_symlink(std::filesystem::path{fds} / name));
    }
    // Where fusectl is mounted.
    std::erase_if(targets, [](const std::string& target) { return target.ends_with("/abort"); });
    return targets.size() >= 8;
  };
  EXPECT_TRUE(eventually(is_complete));
  using testing::EndsWith;
  using testing::StartsWith;
  EXPECT_THAT(targets,
              testing::UnorderedElementsAre("/dev/null", "/dev/null", "/dev/null", StartsWith("socket:"),
                                            EndsWith("/mountinfo"), EndsWith("/mnt"), "anon_inode:[eventfd]",
                                            StartsWith("anon_inode:[pidfd")));
}

TEST(Mounter, ParentOfTheMountpointRenamed_MountIsRemoved) {
  const TempDir dir;
  for (const int signal : {SIGTERM, SIGKILL}) {
    const std::string before = dir / fmt::format("before{}", signal);
    const std::string after = dir / fmt::format("after{}", signal);
    std::filesystem::create_directories(before + "/mnt");
    const ChildProcess daemon{{VMEMFS_PROGRAM, "-f", "--no-discover", "--vm", "a=fake", before + "/mnt"},
                              dir / "log"};
    ASSERT_TRUE(eventually([&] { return exists(before + "/mnt/a/mem"); })) << read_file(dir / "log");
    std::filesystem::rename(before, after);
    daemon.signal(signal);
    EXPECT_TRUE(eventually([&] { return is_plain_directory(after + "/mnt"); }, kPromise)) << signal;
    if (is_mountpoint(after + "/mnt")) {
      static_cast<void>(run({"fusermount3", "-u", "-z", after + "/mnt"}));
    }
  }
}

TEST(Mounter, Killed_AnotherTakesOver) {
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  ::kill(mounter, SIGKILL);
  EXPECT_TRUE(eventually([&] { return !exists(fmt::format("/proc/{}", mounter)); }, kPromise)) << "a zombie";
  EXPECT_TRUE(
      eventually([&] { return !line_with(mount.log(), "another one takes over").empty(); }, kPromise));
  EXPECT_TRUE(eventually([&] {
    return read_file(mount / ".vmemfs/stats").find("vmemfs_events_total{event=\"error\"} 1") !=
           std::string::npos;
  }));
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }, kPromise));
}

TEST(Mounter, StandbyKilled_IsReplaced) {
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  const pid_t standby = standby_of(mounter);
  ASSERT_NE(standby, 0);
  ::kill(standby, SIGKILL);
  EXPECT_NE(standby_of(mounter, standby), 0);
  ::kill(mounter, SIGKILL);
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }, kPromise));
}

TEST(Mounter, KilledWithItsStandby_IsReportedWithTheRemedy) {
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  const pid_t standby = standby_of(mounter);
  ASSERT_NE(standby, 0);
  ::kill(mounter, SIGSTOP);
  ::kill(standby, SIGKILL);
  ASSERT_TRUE(eventually([&] { return has_ended(standby); }));
  ::kill(mounter, SIGKILL);
  const std::string remedy = "run fusermount3 -u '" + mount.path() + "'";
  EXPECT_TRUE(eventually([&] { return !line_with(mount.log(), remedy).empty(); }, kPromise)) << mount.log();
  EXPECT_TRUE(exists(mount / "vm/mem"));
  EXPECT_EQ(mount.unmount(), 0);
}

TEST(Mounter, PrivateNamespaceHasTheMount_UnmountingEndsTheDaemon) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "a mount namespace takes root";
  }
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  const TempDir dir;
  const ChildProcess other{{"unshare", "-m", "sh", "-c", "echo ready && sleep 60"}, dir / "log"};
  ASSERT_TRUE(eventually([&] { return exists(dir / "log") && read_file(dir / "log") == "ready\n"; }));
  ASSERT_THAT(read_file(fmt::format("/proc/{}/mountinfo", other.pid())), testing::HasSubstr(mount.path()));
  ASSERT_EQ(run({"fusermount3", "-u", mount.path()}).code, 0);
  EXPECT_EQ(mount.daemon().wait(seconds{20}), 0);
  EXPECT_TRUE(eventually([&] { return has_ended(mounter); }, kPromise));
}

TEST(Mounter, Killed_DaemonKeepsServing) {
  Mount mount{{"--vm", "vm=fake"}};
  const pid_t mounter = mount.mounter();
  ::kill(mounter, SIGKILL);
  ASSERT_TRUE(eventually([&] { return has_ended(mounter); }));
  EXPECT_TRUE(exists(mount / "vm/mem"));
  EXPECT_EQ(mount.unmount(), 0); // by hand, because no process would do it
}

TEST(Mounter, WorksForADaemonInTheBackground) {
  const TempDir dir;
  const std::string mountpoint = dir / "mnt";
  std::filesystem::create_directory(mountpoint);
  ASSERT_EQ(run({VMEMFS_PROGRAM, "--no-discover", "--vm", "a=fake", mountpoint}).code, 0);
  // It is no longer a child of the test: identified by its mount.
  pid_t daemon = 0;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    const std::string line = exists(entry.path() / "cmdline") ? entry.path() / "cmdline" : "";
    if (!line.empty() && read_file(line).ends_with(mountpoint + '\0') &&
        read_file(entry.path() / "comm") == "vmemfs\n") {
      daemon = std::stoi(entry.path().filename());
    }
  }
  ASSERT_NE(daemon, 0);
  ::kill(daemon, SIGKILL);
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mountpoint); }, kPromise));
}

} // namespace
} // namespace vmemfs::test
