// SPDX-License-Identifier: MIT
// `vmemfs save` of VMs that no mount has: it mounts them for itself, and nothing of that is left.
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "support/users.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;

/// Read by two threads in 10 s.
constexpr const char* kSlow = "fake:size=200M,delay=100ms";

class SaveWithoutAMount : public testing::Test {
protected:
  ~SaveWithoutAMount() override { expect_nothing_left(); }

  std::vector<std::string> command(const std::vector<std::string>& args) const {
    return joined({"env", "TMPDIR=" + tmp_.path(), VMEMFS_PROGRAM, "save"}, args);
  }
  RunResult save(const std::vector<std::string>& args) const { return run(command(args)); }
  std::string file() const { return out_ / "image"; }
  std::string log() const { return read_file(dir_ / "log"); }

  /// Processes that have the private mount among their arguments, or that are a copy of one that has.
  std::vector<pid_t> processes() const {
    std::vector<pid_t> found;
    for (const auto& entry : fs::directory_iterator{"/proc"}) {
      const std::string name = entry.path().filename();
      if (name.find_first_not_of("0123456789") != std::string::npos) {
        continue;
      }
      try {
        const pid_t pid = std::stoi(name);
        if (!has_ended(pid) &&
            (read_file(entry.path() / "cmdline") + read_file(entry.path() / "environ")).find(tmp_.path()) !=
                std::string::npos) {
          found.push_back(pid);
        }
      } catch (const std::system_error&) { // it has ended meanwhile, or is not ours
      }
    }
    return found;
  }
  void expect_nothing_left() const {
    EXPECT_TRUE(eventually([&] { return fs::is_empty(tmp_.path()) && processes().empty(); }))
        << testing::PrintToString(processes());
    EXPECT_THAT(read_file("/proc/self/mountinfo"), Not(HasSubstr(tmp_.path())));
  }
  /// Some of it was read and written.
  [[nodiscard]] bool has_begun() const {
    return eventually(
        [this] {
          struct stat status {};
          return ::stat((file() + ".partial").c_str(), &status) == 0 && status.st_blocks > 0;
        },
        30s);
  }

  TempDir tmp_;
  TempDir dir_;
  TempDir out_;
};

TEST_F(SaveWithoutAMount, DriverAndParameters_IsTheSameAsOfAMount) {
  const auto result = save({"--format", "raw", "fake:size=8M", file()});
  ASSERT_EQ(result.code, 0) << result.text;
  const Mount mount{{"--vm", "vm=fake:size=8M"}};
  EXPECT_EQ(read_file(file()), read_file(mount / "vm/mem_padded"));
  EXPECT_EQ(nlohmann::json::parse(read_file(file() + ".json"))["vm"]["driver"], "fake");
}

TEST_F(SaveWithoutAMount, PauseOfQemu_IsWhatQemuWritesOutAndEnds) {
  QemuGuest guest{{}};
  const auto result = save(
      {"--pause", "--format", "raw", fmt::format("qemu:qmp={},timeout=20s", guest.driver_socket()), file()});
  ASSERT_EQ(result.code, 0) << result.text;
  EXPECT_TRUE(guest.running());
  const auto json = nlohmann::json::parse(read_file(file() + ".json"));
  EXPECT_EQ(json["mode"], "paused");
  EXPECT_EQ(json["guest"]["state_after"], "running");
  guest.pause();
  const auto truth = guest.pmemsave(0x100000, 4096);
  EXPECT_EQ(read_file(file()).compare(0x100000, 4096, reinterpret_cast<const char*>(truth.data()), 4096), 0);
}

TEST_F(SaveWithoutAMount, ToAPipe_EndsWithTheImage) {
  const auto piped = run({"sh", "-c",
                          fmt::format("TMPDIR={} {} save --quiet --format raw fake:size=8M - | sha256sum",
                                      tmp_.path(), VMEMFS_PROGRAM)});
  ASSERT_EQ(save({"--quiet", "--format", "raw", "fake:size=8M", file()}).code, 0);
  EXPECT_THAT(piped.text, HasSubstr(run({"sha256sum", file()}).text.substr(0, 64)));
}

TEST_F(SaveWithoutAMount, EndedInTheMiddle_LeavesNothing) {
  for (const int signal : {SIGKILL, SIGTERM, SIGINT}) {
    ChildProcess process{command({"--threads", "2", "--format", "raw", kSlow, file()}), dir_ / "log"};
    ASSERT_TRUE(has_begun()) << log();
    EXPECT_THAT(read_file("/proc/self/mountinfo"), HasSubstr(tmp_.path()));
    process.signal(signal);
    EXPECT_EQ(process.wait(30s), 128 + signal) << log();
    expect_nothing_left();
    EXPECT_FALSE(exists(file()));
    fs::remove(file() + ".partial"); // of SIGKILL
    fs::remove(file() + ".json.partial");
  }
}

TEST_F(SaveWithoutAMount, KilledInThePause_GuestRunsAgain) {
  QemuGuest guest{{}};
  const std::string pipe = dir_ / "pipe"; // that nobody reads
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const UniqueFd reader{::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  const std::string text = fmt::format("TMPDIR={} exec {} save --pause qemu:qmp={},timeout=20s - >{}",
                                       tmp_.path(), VMEMFS_PROGRAM, guest.driver_socket(), pipe);
  ChildProcess process{{"sh", "-c", text}, dir_ / "log"};
  ASSERT_TRUE(eventually([&] { return !guest.running(); }, 30s)) << log();
  process.signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return guest.running(); }));
  expect_nothing_left();
}

TEST_F(SaveWithoutAMount, KeeperOrDaemonKilled_SaveFailsAndNothingIsLeft) {
  for (const bool daemon : {true, false}) {
    ChildProcess process{command({"--threads", "2", "--format", "raw", kSlow, file()}), dir_ / "log"};
    ASSERT_TRUE(has_begun()) << log();
    const auto keepers = children_of(process.pid(), "vmemfs");
    ASSERT_EQ(keepers.size(), 1U);
    const auto daemons = children_of(keepers[0], "vmemfs");
    ASSERT_EQ(daemons.size(), 1U);
    ASSERT_EQ(::kill(daemon ? daemons[0] : keepers[0], SIGKILL), 0);
    EXPECT_EQ(process.wait(30s), 1) << log();
    EXPECT_TRUE(fs::is_empty(out_.path()));
    if (!daemon) { // without its keeper, the directory is left
      EXPECT_TRUE(eventually([&] { return processes().empty(); }));
      for (const auto& entry : fs::directory_iterator{tmp_.path()}) {
        EXPECT_TRUE(is_plain_directory(entry.path() / "mnt"));
        fs::remove_all(entry.path());
      }
    }
    expect_nothing_left();
  }
}

TEST_F(SaveWithoutAMount, UnknownVm_SaysWhy) {
  const auto expect = [&](const std::string& vm, const std::string& text) {
    const auto result = save({vm, file()});
    EXPECT_EQ(result.code, 1) << vm;
    EXPECT_THAT(result.text, HasSubstr(text)) << vm;
    expect_nothing_left();
    EXPECT_TRUE(fs::is_empty(out_.path()));
  };
  expect("nosuch:x=1", "cannot save 'nosuch:x=1': ");
  expect("nosuch:x=1", "there is no driver 'nosuch' here");
  expect("qemu:pid=0", "pid: '0' is not allowed");
  expect("dump:path=/nonexistent", "cannot open '/nonexistent': No such file or directory");
  expect("no-such-vm-anywhere", "no driver can open 'no-such-vm-anywhere':\n  ");
  expect("no-such-vm-anywhere", "\n  qemu: no running QEMU has -name no-such-vm-anywhere");
  expect("no-such-vm-anywhere",
         "\n  not tried, as they need parameters ('vmemfs drivers NAME' has them): kvm, ");
}

TEST_F(SaveWithoutAMount, OfAnotherSave_IsNotFoundByName) {
  ChildProcess process{command({"--threads", "2", "--format", "raw", std::string{"hidden="} + kSlow, file()}),
                       dir_ / "log"};
  ASSERT_TRUE(has_begun()) << log();
  const auto result = save({"hidden", out_ / "other"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.text, HasSubstr("'hidden'"));
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(30s), 128 + SIGTERM);
}

} // namespace
} // namespace vmemfs::test
