// SPDX-License-Identifier: MIT
// Everyday programs over a mount of three guests, one of which runs: each ends without an error, and what it
// copied is what is there.
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

/// Copies the tree $M to the empty directory $O, or leaves it empty if it only looks. Without the files `mem`
/// of guests with holes, which are errors there; zip and cpio, which are slow, without images too.
struct Tool {
  const char* name;
  const char* command;
};

constexpr Tool kTools[] = {
    {"tar", "tar -C $M --exclude=mem -cf - . | tar -C $O -xf -"},
    {"cp", "cp -a $M/. $O"},
    {"rsync", "rsync -a --exclude=mem $M/ $O"},
    {"zip", "cd $M && zip -q -r $O/all.zip . -x '*/mem' '*/mem.lime' '*/core' && cd $O && "
            "python3 -m zipfile -e all.zip . && rm all.zip"},
    {"busybox_tar", "cd $M && find . -type f ! -name mem >$O/.list && "
                    "xargs busybox tar -cf $O/.tar <$O/.list && tar -C $O -xf $O/.tar; rm $O/.tar $O/.list"},
    {"busybox_cp", "cd $M && find . -type f ! -name mem | while read -r file; do "
                   "mkdir -p \"$O/$(dirname $file)\" && busybox cat $file >$O/$file || exit 1; done"},
    {"cpio", "cd $M && find . -type f ! -name mem ! -name mem.lime ! -name core | cpio -o --quiet | (cd $O "
             "&& cpio -id --quiet)"},
    {"copytree", "python3 -c 'import os, shutil; shutil.copytree(os.environ[\"M\"], os.environ[\"O\"], "
                 "ignore=shutil.ignore_patterns(\"mem\"), dirs_exist_ok=True)'"},
    {"tarfile",
     "python3 -c 'import os, tarfile; t = tarfile.open(os.environ[\"O\"] + \"/t.tar\", \"w\"); "
     "t.add(os.environ[\"M\"], \".\", filter=lambda i: None if i.name.endswith(\"/mem\") else i)' && "
     "tar -C $O -xf $O/t.tar && rm $O/t.tar"},
    {"md5sum", "find $M -type f ! -name mem -exec md5sum {} +"},
    {"grep", "grep -r --exclude=mem --exclude=mem_padded --exclude=mem.lime --exclude=core -c . $M"},
    {"find", "find $M -ls"},
    {"du", "du -a $M"},
};

class Tools : public testing::TestWithParam<Tool> {
protected:
  Tools() { paused_.pause(); }

  QemuGuest running_{{}};
  QemuGuest paused_{{}};
  Mount mount_{{"--vm", fmt::format("running=qemu:qmp={}", running_.driver_socket()), "--vm",
                fmt::format("paused=qemu:qmp={}", paused_.driver_socket()), "--vm", "fake=fake:size=4M"}};
};

/// Text of some moment: whole.
void expect_text(const std::string& name, const std::string& text) {
  EXPECT_THAT(text, EndsWith("\n")) << name;
  if (name.ends_with("/info")) {
    EXPECT_TRUE(nlohmann::json::accept(text)) << text;
  } else if (name.ends_with("/control") && !name.starts_with(".vmemfs")) {
    EXPECT_THAT(text, testing::AllOf(StartsWith("state "), HasSubstr("command detach")));
  } else if (name.ends_with("/regs")) {
    EXPECT_THAT(text, HasSubstr("rip 0x"));
  }
}

bool is_memory(const std::string& name) {
  return name.ends_with("/mem_padded") || name.ends_with("/mem.lime") || name.ends_with("/core") ||
         name.find("/ram/") != std::string::npos;
}

/// What never changes is compared.
bool is_constant(const std::string& name) {
  return name.ends_with("/maps") || name.find("/drivers/") != std::string::npos ||
         (is_memory(name) && !name.starts_with("running"));
}

TEST_P(Tools, OverTheMount_EndsAndCopiesWhatIsThere) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root, as it copies owners";
  }
  const TempDir out;
  const auto result = run({"timeout", "100", "env", "M=" + mount_.path(), "O=" + out.path(), "bash", "-c",
                           fmt::format("set -e -o pipefail; {}", GetParam().command)});
  ASSERT_EQ(result.code, 0) << result.text;
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{out.path()}) {
    const std::string name = entry.path().lexically_relative(out.path()).string();
    if (!entry.is_regular_file() || name.ends_with("/mem")) {
      continue;
    }
    ++files;
    const std::string copy = read_file(entry.path());
    if (name.ends_with("/virt")) {
      EXPECT_LE(copy.size(), std::size_t{64} << 20U) << name << " is what is mapped from address 0 on";
    } else if (is_constant(name)) {
      EXPECT_TRUE(copy == read_file(mount_ / name)) << name;
    } else if (is_memory(name)) {
      EXPECT_EQ(copy.size(), std::filesystem::file_size(mount_ / name)) << name;
    } else {
      expect_text(name, copy);
    }
  }
  EXPECT_THAT(files, testing::AnyOf(0U, testing::Gt(20U))) << result.text;
}

INSTANTIATE_TEST_SUITE_P(Everyday, Tools, testing::ValuesIn(kTools),
                         [](const auto& tool) { return std::string{tool.param.name}; });

/// Whoever knows a file only by its size.
TEST(TextSizes, AreWhatIsRead) {
  QemuGuest guest{{}};
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  for (const char* const name :
       {"vm/info", "vm/maps", "vm/control", "vm/batch", "vm/vcpus/0/regs", ".vmemfs/stats", ".vmemfs/control",
        ".vmemfs/events", ".vmemfs/drivers/qemu"}) {
    for (int i = 0; i < 3; ++i) {
      const auto size = std::filesystem::file_size(mount / name);
      EXPECT_GT(size, 0U) << name;
      EXPECT_EQ(read_file(mount / name).size(), size) << name;
    }
  }
}

/// The size comes from no exchange with the monitor: a VM that hangs holds up no listing.
TEST(TextSizes, OfAVmThatHangs_AreToldAtOnce) {
  QemuGuest guest{{}};
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={},timeout=30s", guest.driver_socket())}};
  guest.process().signal(SIGSTOP);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(run({"ls", "-lR", mount.path()}).code, 0);
  // That of linux/ finds out which kernel runs, and waits for the answer for a moment.
  EXPECT_EQ(run({"ls", mount / "vm/linux"}).text, "info\n");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds{25});
  guest.process().signal(SIGCONT);
}

TEST(FixedTree, NothingIsCreatedRemovedOrRenamed) {
  const Mount mount{{"--vm", "vm=fake:size=1M"}};
  const std::string info = mount / "vm/info";
  const std::string other = mount / "vm/other";
  const auto error = [](int result) { return result == 0 ? 0 : errno; };
  EXPECT_EQ(error(::mkdir(other.c_str(), 0700)), EPERM);
  EXPECT_EQ(error(::mknod(other.c_str(), S_IFREG | 0600, 0)), EPERM);
  EXPECT_EQ(error(::mkfifo(other.c_str(), 0600)), EPERM);
  EXPECT_EQ(error(::symlink("info", other.c_str())), EPERM);
  EXPECT_EQ(error(::link(info.c_str(), other.c_str())), EPERM);
  EXPECT_EQ(error(::unlink(info.c_str())), EPERM);
  EXPECT_EQ(error(::rmdir((mount / "vm/vcpus").c_str())), EPERM);
  EXPECT_EQ(error(std::rename(info.c_str(), other.c_str())), EPERM);
  EXPECT_EQ(::open(other.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
  EXPECT_EQ(errno, EPERM);
  struct stat status {};
  EXPECT_EQ(error(::stat((mount / std::string(NAME_MAX + 1, 'a')).c_str(), &status)), ENAMETOOLONG);
  EXPECT_EQ(error(::stat((mount / std::string(NAME_MAX, 'a')).c_str(), &status)), ENOENT);
}

TEST(Remount, ReadOnly_TakesNoCommandsUntilItIsWritable) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  const Mount mount{{"--vm", "vm=fake:size=1M"}};
  EXPECT_EQ(
      run({VMEMFS_PROGRAM, "none", mount.path(), "-o",
           "ro,nosuid,nodev,relatime,remount,user_id=0,group_id=0,default_permissions,allow_other,dev,suid"})
          .code,
      0);
  EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), EROFS);
  EXPECT_THAT(line_with(read_file("/proc/self/mounts"), mount.path()), HasSubstr("ro,nosuid,nodev"));
  EXPECT_EQ(run({VMEMFS_PROGRAM, "none", mount.path(), "-o", "remount,rw"}).code, 0);
  EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), 0);
  const auto refused = run({VMEMFS_PROGRAM, mount.path(), "-o", "remount,max_threads=3"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.text, HasSubstr("'max_threads=3' cannot be changed while mounted"));
  const TempDir plain;
  const auto absent = run({VMEMFS_PROGRAM, plain.path(), "-o", "remount,ro"});
  EXPECT_EQ(absent.code, 1);
  EXPECT_THAT(absent.text, HasSubstr("no vmemfs is mounted on"));
}

TEST(SecondMount, InsideAnother_IsRefused) {
  const Mount mount{{"--vm", "vm=fake:size=1M"}};
  for (const char* place : {"vm", "vm/vcpus/0", ".vmemfs"}) {
    const auto second = run({VMEMFS_PROGRAM, "--no-discover", "--vm", "vm=fake:size=1M", mount / place});
    EXPECT_EQ(second.code, 1) << place;
    EXPECT_THAT(second.text, HasSubstr("lies in the vmemfs that is mounted on '" + mount.path() + "'"));
  }
  EXPECT_TRUE(exists(mount / "vm/mem"));
}

TEST(SecondMount, AtTheSamePlace_IsRefused) {
  Mount mount{{"--vm", "vm=fake:size=1M"}};
  const auto second = run({VMEMFS_PROGRAM, "--no-discover", "--vm", "vm=fake:size=1M", mount.path()});
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.text, HasSubstr("is mounted on"));
  mount.daemon().signal(SIGSTOP); // it is not asked
  EXPECT_EQ(run({"timeout", "10", VMEMFS_PROGRAM, "--no-discover", "--vm", "vm=fake", mount.path()}).code, 1);
  mount.daemon().signal(SIGCONT);
  EXPECT_TRUE(exists(mount / "vm/mem"));
}

} // namespace
} // namespace vmemfs::test
