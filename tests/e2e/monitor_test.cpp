// SPDX-License-Identifier: MIT
// The forms of a monitor on QEMU's command line, with the QMP socket of the tests as truth.
#include "support/free_port.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "support/users.h"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <string>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct MonitorForm {
  std::string name;
  std::vector<std::string> arguments; ///< of QEMU; PORT is a free port, NAME a name of its own
  std::string address;                ///< as `info` shows it
  std::string params = "";            ///< of the driver
};

void PrintTo(const MonitorForm& form, std::ostream* out) { *out << form.name; }

std::string filled(const std::string& text, unsigned port) {
  std::string all = std::regex_replace(text, std::regex{"PORT"}, std::to_string(port));
  return std::regex_replace(all, std::regex{"NAME"}, fmt::format("vmemfs-{}", port));
}

/// A guest whose only free monitor has this form.
struct GuestWithMonitor {
  explicit GuestWithMonitor(const MonitorForm& form, unsigned port = free_port())
      : address{filled(form.address, port)}, guest{options(form, port)} {}

  static GuestOptions options(const MonitorForm& form, unsigned port) {
    GuestOptions options;
    options.monitor_for_driver = false;
    for (const std::string& argument : form.arguments) {
      options.extra.push_back(filled(argument, port));
    }
    return options;
  }

  std::string address;
  QemuGuest guest;
};

std::string run_control(const Mount& mount) {
  return nlohmann::json::parse(read_file(mount / "vm/info"))["access"]["run_control"];
}

/// The value of a register of vCPU 0, as the monitor of the tests has it.
std::string true_cr3(QemuGuest& guest) {
  const std::string text = guest.monitor().human("info registers");
  std::smatch match;
  EXPECT_TRUE(std::regex_search(text, match, std::regex{"CR3=([0-9a-f]+)"})) << text;
  return fmt::format("cr3 0x{:016x}\n", std::stoull(match[1], nullptr, 16));
}

// It would be missed when it is needed.
TEST(NamedMonitor, IsNoMonitor_IsWarnedOf) {
  const TempDir dir;
  GuestOptions options;
  options.extra = {"-chardev", fmt::format("socket,id=silent,path={},server=on,wait=off", dir / "silent")};
  const QemuGuest guest{options};
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={},timeout=500ms", dir / "silent")}};
  EXPECT_THAT(mount.log(), HasSubstr("no registers, pause and resume, as qmp= is of no use: "));
  EXPECT_THAT(mount.log(), HasSubstr("or this is not a QMP socket"));
}

TEST(NamedMonitor, PathLongerThanASocketsMayBe_BesideThePid_IsUsed) {
  const QemuGuest guest{{}};
  const TempDir dir;
  const std::string folder = dir / std::string(120, 'd');
  std::filesystem::create_directory(folder);
  std::filesystem::create_symlink(guest.driver_socket(), folder + "/qmp");
  const Mount mount{{"--vm", fmt::format("vm=qemu:pid={},qmp={}/qmp", guest.pid(), folder)}};
  EXPECT_THAT(run_control(mount), HasSubstr("QMP stop and cont at " + folder + "/qmp"));
}

class MonitorForms : public testing::TestWithParam<MonitorForm> {};

TEST_P(MonitorForms, PauseRegistersAndResume_GoThroughIt) {
  GuestWithMonitor vm{GetParam()};
  const Mount mount{{"--vm", fmt::format("vm=qemu:pid={}{}", vm.guest.pid(), GetParam().params)}};
  ASSERT_THAT(run_control(mount), HasSubstr("QMP stop and cont at " + vm.address));
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  EXPECT_FALSE(vm.guest.running());
  EXPECT_THAT(read_file(mount / "vm/vcpus/0/regs"), HasSubstr(true_cr3(vm.guest)));
  ASSERT_EQ(try_write(mount / "vm/control", "resume\n"), 0) << mount.log();
  EXPECT_TRUE(vm.guest.running());
}

TEST_P(MonitorForms, DaemonKilled_GuardianResumesThroughIt) {
  GuestWithMonitor vm{GetParam()};
  Mount mount{{"--vm", fmt::format("vm=qemu:pid={}{}", vm.guest.pid(), GetParam().params)}};
  ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
  ASSERT_FALSE(vm.guest.running());
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return vm.guest.running(); }, 10s));
}

TEST_P(MonitorForms, KeptConnection_ReportsAPauseByOthers) {
  GuestWithMonitor vm{GetParam()};
  const Mount mount{{"--vm", fmt::format("vm=qemu:pid={},keep=on{}", vm.guest.pid(), GetParam().params)}};
  // The state that is found first is no change.
  ASSERT_TRUE(eventually([&] { return read_file(mount / "vm/control").starts_with("state running"); }));
  vm.guest.pause();
  EXPECT_TRUE(eventually([&] {
    return read_file(mount / ".vmemfs/events").find("\"paused\"") != std::string::npos;
  })) << read_file(mount / ".vmemfs/events");
}

INSTANTIATE_TEST_SUITE_P(
    , MonitorForms,
    testing::Values(
        MonitorForm{"abstract", {"-qmp", "unix:NAME,server=on,wait=off,abstract=on"}, "abstract:NAME"},
        MonitorForm{"abstract_padded",
                    {"-chardev", "socket,id=c,path=NAME,server=on,wait=off,abstract=on,tight=off", "-mon",
                     "c,mode=control"},
                    "abstract,tight=off:NAME"},
        MonitorForm{
            "tcp", {"-qmp", "tcp:127.0.0.1:PORT,server=on,wait=off"}, "tcp:127.0.0.1:PORT", ",tcp=on"},
        MonitorForm{"tcp_all", {"-qmp", "tcp::PORT,server=on,wait=off"}, "tcp:127.0.0.1:PORT", ",tcp=on"},
        MonitorForm{"tcp6",
                    {"-chardev", "socket,id=c,host=::1,port=PORT,server=on,wait=off", "-mon",
                     "chardev=c,mode=control,pretty=on"},
                    "tcp:[::1]:PORT",
                    ",tcp=on"}),
    [](const auto& form) { return form.param.name; });

/// A jail, and a program that starts QEMU in a directory of its own.
class ChrootedQemu : public testing::Test {
protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "-chroot takes root";
    }
    std::filesystem::create_directories(dir_ / "jail");
    std::filesystem::create_directories(dir_ / "work");
    std::ofstream{program()} << "#!/bin/sh\ncd " << dir_ / "work"
                             << " && exec qemu-system-x86_64 \"$@\"\n";
    std::filesystem::permissions(program(), std::filesystem::perms{0755});
  }

  [[nodiscard]] std::string program() const { return dir_ / "qemu"; }
  [[nodiscard]] GuestOptions options(const std::string& path) const {
    GuestOptions options;
    options.program = program();
    options.monitor_for_driver = false;
    options.extra = {"-chroot", dir_ / "jail", "-qmp", fmt::format("unix:{},server=on,wait=off", path)};
    return options;
  }
  void expect_monitor(QemuGuest& guest, const std::string& path) const {
    const Mount mount{{"--vm", fmt::format("vm=qemu:pid={}", guest.pid())}};
    ASSERT_THAT(run_control(mount), HasSubstr("QMP stop and cont at " + path));
    ASSERT_EQ(try_write(mount / "vm/control", "pause\n"), 0) << mount.log();
    EXPECT_FALSE(guest.running());
  }

  TempDir dir_;
};

TEST_F(ChrootedQemu, AbsolutePath_CountsFromTheFirstRoot) {
  QemuGuest guest{options(dir_ / "work/qmp")};
  EXPECT_THAT(std::filesystem::read_symlink(fmt::format("/proc/{}/root", guest.pid())), dir_ / "jail");
  expect_monitor(guest, dir_ / "work/qmp");
}

TEST_F(ChrootedQemu, RelativePath_CountsFromTheFirstDirectory) {
  QemuGuest guest{options("qmp")};
  expect_monitor(guest, dir_ / "work/qmp");
}

/// The jail has the socket of another QEMU under the name.
TEST_F(ChrootedQemu, SocketOfAnotherQemuInTheNewRoot_IsNotUsed) {
  std::filesystem::create_directories(dir_ / "jail" + dir_.path() + "/work");
  GuestOptions other_options;
  other_options.extra = {"-qmp",
                         fmt::format("unix:{}{}/work/qmp,server=on,wait=off", dir_ / "jail", dir_.path())};
  QemuGuest other{other_options};
  QemuGuest guest{options(dir_ / "work/qmp")};
  expect_monitor(guest, dir_ / "work/qmp");
  EXPECT_TRUE(other.running());
}

TEST(UnusableMonitor, InfoHasTheReasonAndTheRemedy) {
  struct Case {
    std::vector<std::string> arguments;
    std::string reason;
  };
  const TempDir dir;
  const std::string tcp = fmt::format("127.0.0.1:{}", free_port());
  const std::vector<Case> cases{
      {{"-qmp", "pty"},
       "its QMP monitor is on a pty, where any other program that reads may get the answers"},
      {{"-chardev", "file,id=f,path=" + (dir / "out"), "-mon", "f,mode=control"},
       "its QMP monitor writes to a file and takes no commands from it"},
      {{"-qmp", "tcp:" + tcp + ",server=on,wait=off"},
       "its QMP monitor is on tcp:" + tcp + ", and this process has no network; start the mount with tcp=on"},
      {{"-qmp", "telnet:" + tcp + ",server=on,wait=off"},
       "its QMP monitor on '" + tcp + "' uses the protocol telnet, which vmemfs does not speak"},
      {{"-S"}, "QEMU was started without a QMP socket; start it with"}};
  for (const Case& each : cases) {
    const ChildProcess qemu{
        joined({"qemu-system-x86_64", "-m", "16M", "-display", "none", "-nodefaults", "-no-user-config"},
               each.arguments),
        dir / "log"};
    std::optional<Mount> mount;
    ASSERT_TRUE(eventually([&] { // it is a QEMU after exec, and has memory a moment later
      try {
        mount.emplace(std::vector<std::string>{"--vm", fmt::format("vm=qemu:pid={}", qemu.pid())});
      } catch (const std::exception&) {
        return false;
      }
      return true;
    })) << read_file(dir / "log");
    EXPECT_THAT(run_control(*mount), testing::StartsWith("none: " + each.reason));
    EXPECT_THAT(run_control(*mount), HasSubstr("-qmp unix:PATH,server=on,wait=off"));
  }
}

TEST(MonitorInOtherNetwork, IsReported) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "a network namespace takes root";
  }
  const TempDir dir;
  const std::string program = dir / "qemu";
  std::ofstream{program} << "#!/bin/sh\nexec unshare -n qemu-system-x86_64 \"$@\"\n";
  std::filesystem::permissions(program, std::filesystem::perms{0755});
  GuestOptions options;
  options.program = program;
  options.monitor_for_driver = false;
  const std::string name = fmt::format("vmemfs-{}", ::getpid());
  options.extra = {"-qmp", fmt::format("unix:{},server=on,wait=off,abstract=on", name), "-qmp",
                   "tcp:0.0.0.0:4444,server=on,wait=off"};
  QemuGuest guest{options};
  const Mount mount{{"--vm", fmt::format("vm=qemu:pid={},tcp=on", guest.pid())}};
  EXPECT_THAT(run_control(mount), testing::StartsWith("none: "));
  EXPECT_THAT(run_control(mount),
              HasSubstr(fmt::format("the abstract socket '{}' in another network", name)));
  EXPECT_THAT(run_control(mount), HasSubstr("on TCP (0.0.0.0:4444) in another network namespace"));
}

/// Writes without KVM and registers are set by the gdbstub, to which a descriptor leads.
TEST(MonitorOnTcp, SettingRegisters_FailsWithTheReason) {
  const MonitorForm form{
      "tcp", {"-qmp", "tcp:127.0.0.1:PORT,server=on,wait=off"}, "tcp:127.0.0.1:PORT", ",tcp=on"};
  GuestWithMonitor vm{form};
  const Mount mount{{"--vm", fmt::format("vm=qemu:pid={},tcp=on,writable=on", vm.guest.pid())}};
  const auto access = nlohmann::json::parse(read_file(mount / "vm/info"))["access"];
  EXPECT_THAT(access["registers"].get<std::string>(), HasSubstr("a monitor on TCP cannot pass to QEMU"));
  EXPECT_EQ(try_write(mount / "vm/vcpus/0/regs", "rax 0x1\n"), EOPNOTSUPP);
  EXPECT_TRUE(vm.guest.running());
}

} // namespace
} // namespace vmemfs::test
