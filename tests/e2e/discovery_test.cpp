// SPDX-License-Identifier: MIT
// Automatic attaching and detaching of the host's VMs. Discovery sees every QEMU of the host, so these tests
// run alone.
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

GuestOptions named(const std::string& name) {
  GuestOptions options;
  options.name = name;
  return options;
}

/// A QEMU that has memory and does nothing.
ChildProcess idle_qemu(const TempDir& dir, const std::string& name, std::vector<std::string> more = {}) {
  std::vector<std::string> args{"qemu-system-x86_64", "-m", "16M", "-display", "none", "-nodefaults", "-S"};
  if (!name.empty()) {
    args.insert(args.end(), {"-name", name});
  }
  args.insert(args.end(), more.begin(), more.end());
  return ChildProcess{args, dir / "qemu.log"};
}

/// A scan before the process executes QEMU would miss it.
void wait_for_qemu(const ChildProcess& qemu) {
  EXPECT_TRUE(eventually([&] {
    return std::filesystem::read_symlink(fmt::format("/proc/{}/exe", qemu.pid())).filename() ==
           "qemu-system-x86_64";
  }));
}

std::string true_name(const std::string& vm_directory) {
  return nlohmann::json::parse(read_file(vm_directory + "/info"))["name"];
}

TEST(Discovery, RunningVms_AreAttachedAtStart) {
  QemuGuest guest{named("there before")};
  const Mount mount{{}, Discover::on};
  EXPECT_TRUE(eventually([&] { return exists(mount / "there before/mem"); }));
  guest.pause();
  const UniqueFd memory{::open((mount / "there before/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  std::vector<std::byte> bytes(4096);
  ASSERT_EQ(::pread(memory.get(), bytes.data(), bytes.size(), 0x100000), 4096);
  EXPECT_EQ(bytes, guest.pmemsave(0x100000, bytes.size()));
}

TEST(Discovery, StartAndEnd_AreDetected) {
  const Mount mount{{}, Discover::on};
  TempDir dir;
  UniqueFd memory;
  {
    ChildProcess qemu = idle_qemu(dir, "comes");
    EXPECT_TRUE(eventually([&] { return exists(mount / "comes/mem"); }));
    memory.reset(::open((mount / "comes/mem").c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 16> bytes{};
    EXPECT_EQ(::pread(memory.get(), bytes.data(), bytes.size(), 0), 16);
    qemu.signal(SIGKILL);
  }
  EXPECT_TRUE(eventually([&] { return !exists(mount / "comes"); }));
  std::array<char, 16> bytes{};
  EXPECT_EQ(::pread(memory.get(), bytes.data(), bytes.size(), 0), -1);
  EXPECT_EQ(errno, ENODEV);
}

TEST(Discovery, EqualAndUnsafeNames_BecomeUniqueAndSafe) {
  TempDir dir;
  ChildProcess older = idle_qemu(dir, "same");
  wait_for_qemu(older);              // else the younger one may be seen first
  std::this_thread::sleep_for(50ms); // start times have a resolution of 10 ms
  ChildProcess younger = idle_qemu(dir, "same");
  ChildProcess evil = idle_qemu(dir, "../../x\n\x1b[31m");
  ChildProcess by_uuid = idle_qemu(dir, "", {"-uuid", "11111111-2222-4333-8444-555555555555"});
  ChildProcess by_pid = idle_qemu(dir, "");
  const Mount mount{{}, Discover::on};
  const auto is_there = [&](const std::string& name) {
    return eventually([&] { return exists(mount / (name + "/mem")); }, 10s);
  };
  EXPECT_TRUE(is_there("same"));
  EXPECT_TRUE(is_there(fmt::format("same-{}", younger.pid())));
  ASSERT_TRUE(is_there("_._.._x__[31m"));
  EXPECT_EQ(true_name(mount / "_._.._x__[31m"), "../../x\n\x1b[31m");
  EXPECT_TRUE(is_there("11111111-2222-4333-8444-555555555555"));
  EXPECT_TRUE(is_there(fmt::format("{}", by_pid.pid())));
}

TEST(Discovery, LateExecOfQemu_IsFound) {
  const Mount mount{{}, Discover::on};
  TempDir dir;
  const ChildProcess shell{
      {"sh", "-c", "sleep 2; exec qemu-system-x86_64 -m 16M -display none -nodefaults -S -name late"},
      dir / "log"};
  EXPECT_TRUE(eventually([&] { return exists(mount / "late/mem"); }, 10s));
}

TEST(Discovery, DaemonizedQemu_IsOneVm) {
  const Mount mount{{}, Discover::on};
  TempDir dir;
  ASSERT_EQ(
      run({"qemu-system-x86_64", "-m", "16M", "-display", "none", "-nodefaults", "-S", "-name", "daemonized",
           "-daemonize", "-pidfile", dir / "pid", "-qmp", "unix:" + (dir / "qmp") + ",server=on,wait=off"})
          .code,
      0);
  const pid_t pid = std::stoi(read_file(dir / "pid"));
  EXPECT_TRUE(eventually([&] { return exists(mount / "daemonized/mem"); }));
  std::this_thread::sleep_for(1s);
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator{mount.path()}) {
    count += entry.path().filename().string().starts_with("daemonized") ? 1 : 0;
  }
  EXPECT_EQ(count, 1);
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(eventually([&] { return !exists(mount / "daemonized"); }));
}

/// QEMU with wait=on starts when the first client connects to its monitor, which must not be vmemfs.
TEST(Discovery, MonitorWithWaitOn_IsNotDisturbed) {
  const Mount mount{{}, Discover::on};
  TempDir dir;
  const ChildProcess qemu = idle_qemu(dir, "waits", {"-qmp", "unix:" + (dir / "qmp") + ",server=on,wait=on"});
  const std::string refused = fmt::format("refused qemu {} waits: ", qemu.pid());
  EXPECT_TRUE(
      eventually([&] { return read_file(mount / ".vmemfs/control").find(refused) != std::string::npos; }));
  EXPECT_FALSE(exists(mount / "waits"));
  TestMonitor user{dir / "qmp"};
  EXPECT_TRUE(eventually([&] { return exists(mount / "waits/mem"); }));
}

TEST(Discovery, AttachAndDetachByHand_Work) {
  QemuGuest guest{named("by hand")};
  const Mount mount{{}, Discover::on};
  const std::string control = mount / ".vmemfs/control";
  EXPECT_TRUE(eventually([&] { return exists(mount / "by hand/mem"); }));
  EXPECT_THAT(read_file(control), HasSubstr("vm qemu by hand\n"));
  EXPECT_EQ(try_write(mount / "by hand/control", "pause\n"), 0);
  EXPECT_FALSE(guest.running());
  EXPECT_EQ(try_write(control, "detach by hand\n"), 0);
  EXPECT_TRUE(guest.running()); // vmemfs had paused it
  EXPECT_TRUE(eventually([&] { return !exists(mount / "by hand"); }));
  std::this_thread::sleep_for(1500ms);
  EXPECT_FALSE(exists(mount / "by hand"));
  EXPECT_EQ(try_write(control, fmt::format("attach a b=qemu:pid={}\n", guest.pid())), 0);
  EXPECT_TRUE(exists(mount / "a b/mem"));
  EXPECT_EQ(try_write(control, "attach f=fake:size=1M\ndetach a b\n"), 0);
  EXPECT_TRUE(exists(mount / "f/mem"));
  EXPECT_EQ(try_write(mount / "f/control", "detach\n"), 0);
  EXPECT_TRUE(eventually([&] { return !exists(mount / "f"); }));
  EXPECT_EQ(try_write(control, "detach nobody\n"), ENOENT);
  EXPECT_EQ(try_write(control, "attach x=nope:y=1\n"), EINVAL);
  EXPECT_EQ(try_write(control, "attach\n"), EINVAL);
  EXPECT_EQ(try_write(control, "nonsense\n"), EINVAL);
}

} // namespace
} // namespace vmemfs::test
