// SPDX-License-Identifier: MIT
// The driver `leechcore` in a mount: a live device and a saved one, and a library that crashes.
#include "drivers/leechcore/stand_in.h"
#include "support/mount.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::size_t kMiB = std::size_t{1} << 20;

class LeechcoreMount : public testing::Test {
protected:
  std::string vm(const std::string& name, const std::string& type, const std::string& script = {}) {
    return fmt::format("{}=leechcore:{}", name, leechcore_params(image_.device(type, script), "timeout=60s"));
  }
  LeechcoreImage image_;
};

TEST_F(LeechcoreMount, Memory_IsTheDevicesAndWritesReachIt) {
  Mount mount{{"--writable", "--vm", vm("live", "fpga"), "--vm", vm("saved", "file")}};
  EXPECT_EQ(read_file(mount / "live/maps"), "0000000000000000-00000000000a0000 rw- ram fpga+0x0\n"
                                            "0000000000100000-0000000001800000 rw- ram fpga+0x100000\n");
  const UniqueFd mem{::open((mount / "live/mem").c_str(), O_RDWR | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  EXPECT_EQ(pread_at(mem.get(), 0x123457, kMiB).bytes, image_.truth(0x123457, kMiB));
  EXPECT_EQ(pread_at(mem.get(), 0xa0000, 16).error, EIO);
  ASSERT_EQ(::pwrite(mem.get(), "vmemfs", 6, 0x123457), 6);
  EXPECT_EQ(read_file(image_.path()).substr(0x123457, 6), "vmemfs");
  const UniqueFd saved{::open((mount / "saved/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_EQ(pread_at(saved.get(), 0x98000, 65536).bytes, image_.truth(0x98000, 65536));
  EXPECT_THAT(read_file(mount / "live/info"), HasSubstr("LeechCore 2.23.99"));
}

TEST_F(LeechcoreMount, LibraryCrashes_TheVmLeavesAndTheMountStays) {
  Mount mount{{"--vm", vm("bad", "fpga", "crash=0x200000"), "--vm", vm("good", "fpga")}};
  const UniqueFd bad{::open((mount / "bad/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(bad) << mount.log();
  EXPECT_EQ(pread_at(bad.get(), 0x200000, 4096).error, ENODEV);
  EXPECT_TRUE(eventually(
      [&] { return !exists(mount / "bad/mem") || mount.log().find("signal 6") != std::string::npos; }));
  EXPECT_THAT(mount.log(), HasSubstr("killed by signal 6"));
  const UniqueFd good{::open((mount / "good/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_EQ(pread_at(good.get(), 0x200000, 4096).bytes, image_.truth(0x200000, 4096));
}

TEST_F(LeechcoreMount, WorkerIsKilled_VmOfTheConfigurationIsAttachedAgain) {
  const TempDir dir;
  write_file(dir / "config.toml",
             fmt::format("[vm.live]\ndriver = \"leechcore\"\nlibrary = \"{}\"\ndevice = \"{}\"\n",
                         VMEMFS_LEECHCORE_STAND_IN, image_.device("fpga")));
  Mount mount{{"--config", dir / "config.toml"}};
  ASSERT_TRUE(eventually([&] { return exists(mount / "live/mem"); })) << mount.log();
  const auto workers = [&] { return children_of(mount.daemon().pid(), std::string{kLeechcoreComm}); };
  const auto before = workers();
  ASSERT_EQ(before.size(), 1U) << mount.log();
  ASSERT_EQ(::kill(before.front(), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] {
    const UniqueFd mem{::open((mount / "live/mem").c_str(), O_RDONLY | O_CLOEXEC)};
    return workers() != before && mem &&
           pread_at(mem.get(), 0x200000, 4096).bytes == image_.truth(0x200000, 4096);
  })) << mount.log();
}

TEST_F(LeechcoreMount, DaemonIsKilled_ItsWorkersEndToo) {
  Mount mount{{"--vm", vm("live", "fpga")}};
  const auto workers = children_of(mount.daemon().pid(), std::string{kLeechcoreComm});
  ASSERT_EQ(workers.size(), 1U) << mount.log();
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return has_ended(workers.front()); }));
}

TEST_F(LeechcoreMount, Worker_HasNoRightsOfItsOwn) {
  Mount mount{{"--vm", vm("live", "fpga")}};
  const auto workers = children_of(mount.daemon().pid(), std::string{kLeechcoreComm});
  ASSERT_EQ(workers.size(), 1U) << mount.log();
  const std::string status = read_file(fmt::format("/proc/{}/status", workers.front()));
  EXPECT_THAT(status, HasSubstr("CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1\n"));
  EXPECT_THAT(status, HasSubstr("Seccomp:\t2\n"));
}

TEST_F(LeechcoreMount, SecondRead_CostsCallsOnlyIfTheMemoryMayChange) {
  const TempDir dir;
  const auto calls = [&](const std::string& name) {
    const std::string lines = read_file(dir / name);
    return std::ranges::count(lines, '\n');
  };
  Mount mount{{"--vm", vm("live", "file", "volatile=1,latency=1000,log=" + (dir / "live")), "--vm",
               vm("saved", "file", "latency=1000,log=" + (dir / "saved"))}};
  for (const std::string name : {"live", "saved"}) {
    const UniqueFd mem{::open((mount / (name + "/mem")).c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_EQ(pread_at(mem.get(), kMiB, 65536).bytes, image_.truth(kMiB, 65536)) << mount.log();
    const auto before = calls(name);
    ASSERT_EQ(pread_at(mem.get(), kMiB, 65536).bytes, image_.truth(kMiB, 65536));
    EXPECT_EQ(calls(name) - before, name == "live" ? 1 : 0) << name;
  }
}

TEST_F(LeechcoreMount, SequentialRead_TakesCallsOfManyPages) {
  const TempDir dir;
  const std::string log = dir / "calls";
  Mount mount{{"--vm", vm("live", "fpga", "latency=1000,log=" + log)}};
  const UniqueFd mem{::open((mount / "live/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(mem) << mount.log();
  for (std::size_t at = kMiB; at < 17 * kMiB; at += kMiB) {
    ASSERT_EQ(pread_at(mem.get(), at, kMiB).bytes, image_.truth(at, kMiB));
  }
  const std::string calls = read_file(log);
  EXPECT_LE(std::ranges::count(calls, '\n'), 2 * 16 + 1) << calls;
}

} // namespace
} // namespace vmemfs::test
