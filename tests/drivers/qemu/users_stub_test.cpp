// SPDX-License-Identifier: MIT
// Writes while the user has started QEMU's only gdbstub, with a debugger that comes and goes.
#include "arch/x86_64/registers.h"
#include "drivers/qemu/gdbstub/gdb_memory.h"
#include "drivers/qemu/monitor/monitor.h"
#include "support/free_port.h"
#include "support/gdb/gdb_client.h"
#include "support/processes.h"
#include "tests/drivers/qemu/attached_guest.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using test::GdbClient;
using test::GuestOptions;
using testing::HasSubstr;
using testing::Not;
using x86_64::Register;

constexpr std::uint64_t kFree = 0x1800000; ///< filled once by the guest, which does not read it again

std::vector<std::byte> random_bytes(std::size_t size) {
  static std::mt19937 random{1};
  std::vector<std::byte> bytes(size);
  std::ranges::generate(bytes, [] { return static_cast<std::byte>(random()); });
  return bytes;
}

std::string text_of(const WriteOutcome& outcome) {
  return outcome.failure ? outcome.failure->message() : "written";
}

Result<void> set_r15(AttachedGuest& vm, std::uint64_t value) {
  const std::array values{RegisterValue{Register::r15, value}};
  return vm.driver().register_writer()->write_registers(VcpuId{0}, values);
}

std::string r15_of(AttachedGuest& vm) {
  const std::string text = vm.guest().monitor().human("info registers");
  const std::size_t at = text.find("R15=");
  return at == std::string::npos ? text : text.substr(at + 4, 16);
}

/// The line of `info chardev` for the chardev `id`.
std::string chardev_line(AttachedGuest& vm, const std::string& id) {
  std::istringstream lines{vm.guest().monitor().human("info chardev")};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(id + ": ")) {
      return line.substr(0, line.find('\r'));
    }
  }
  return {};
}

/// How the user has started the stub, and how a debugger gets to it.
class UsersStub : public testing::TestWithParam<std::string> {
protected:
  UsersStub() {
    GuestOptions options;
    options.fill = "none";
    const std::string unix_device = "unix:" + path_ + ",server=on,wait=off";
    if (GetParam() == "tcp") {
      options.extra = {"-gdb", fmt::format("tcp::{}", port_)};
    } else if (GetParam() == "tcp_loopback") {
      options.extra = {"-gdb", fmt::format("tcp:127.0.0.1:{},ipv4", port_)};
    } else if (GetParam() == "unix") {
      options.extra = {"-gdb", unix_device};
    } else if (GetParam() == "chardev") {
      options.extra = {"-chardev", "socket,id=mine,path=" + path_ + ",server=on,wait=off", "-gdb",
                       "chardev:mine"};
    }
    vm_ = std::make_unique<AttachedGuest>(options);
    if (GetParam() == "monitor") {
      vm_->guest().monitor().human("gdbserver " + unix_device);
    }
    line_ = chardev_line(*vm_, id());
  }

  static std::string id() { return GetParam() == "chardev" ? "mine" : "gdb"; }
  [[nodiscard]] bool is_free() { return chardev_line(*vm_, id()) == line_; }

  std::unique_ptr<GdbClient> debugger() {
    return GetParam().starts_with("tcp") ? std::make_unique<GdbClient>(port_)
                                         : std::make_unique<GdbClient>(path_);
  }

  test::TempDir dir_;
  const std::string path_ = dir_ / "gdb";
  const unsigned port_ = test::free_port();
  std::unique_ptr<AttachedGuest> vm_;
  std::string line_; ///< of the stub's chardev, before anything happens
};

TEST_P(UsersStub, NoDebugger_WritesReachTheGuestAndTheStubStays) {
  ASSERT_THAT(line_, HasSubstr("disconnected:"));
  const auto bytes = random_bytes(3 * kMaxVisitBytes - 5);
  const WriteOutcome outcome = vm_->write(kFree, bytes);
  EXPECT_EQ(outcome.done, bytes.size()) << text_of(outcome);
  EXPECT_EQ(vm_->guest().pmemsave(kFree, bytes.size()), bytes);
  const auto set = set_r15(*vm_, 0x1122334455667788);
  EXPECT_TRUE(set) << set.error().message();
  EXPECT_EQ(r15_of(*vm_), "1122334455667788");
  EXPECT_TRUE(vm_->guest().running());
  EXPECT_EQ(chardev_line(*vm_, id()), line_);
  const auto gdb = debugger();
  EXPECT_EQ(gdb->ask("qqemu.PhyMemMode"), "0");
  EXPECT_THAT(gdb->ask("g"), HasSubstr("8877665544332211")) << "r15, at the address as before";
  EXPECT_FALSE(vm_->guest().running());
}

TEST_P(UsersStub, DebuggerConnected_IsNotDisturbed) {
  {
    const auto gdb = debugger();
    const std::string registers = gdb->ask("g");
    const auto before = vm_->guest().pmemsave(kFree, 8);
    const WriteOutcome outcome = vm_->write(kFree, random_bytes(8));
    ASSERT_TRUE(outcome.failure);
    EXPECT_EQ(outcome.failure->kind, ErrorKind::busy);
    EXPECT_THAT(outcome.failure->text, HasSubstr("a debugger is connected"));
    const auto set = set_r15(*vm_, 1);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().kind, ErrorKind::busy);
    EXPECT_EQ(vm_->guest().pmemsave(kFree, 8), before);
    EXPECT_EQ(gdb->ask("g"), registers) << "its guest did not run meanwhile";
    EXPECT_FALSE(vm_->guest().running());
    EXPECT_EQ(gdb->ask("D"), "OK");
  }
  ASSERT_TRUE(eventually([&] { return is_free(); }));
  EXPECT_TRUE(vm_->guest().running());
  EXPECT_EQ(text_of(vm_->write(kFree, random_bytes(8))), "written");
  EXPECT_TRUE(vm_->guest().running());
}

TEST_P(UsersStub, DebuggerDiedInAStoppedGuest_StaysPaused) {
  debugger()->ask("g");
  ASSERT_TRUE(eventually([&] { return is_free(); }));
  const auto bytes = random_bytes(100);
  EXPECT_EQ(text_of(vm_->write(kFree, bytes)), "written");
  EXPECT_EQ(vm_->guest().pmemsave(kFree, bytes.size()), bytes);
  EXPECT_TRUE(set_r15(*vm_, 0x99));
  EXPECT_EQ(r15_of(*vm_), "0000000000000099");
  EXPECT_FALSE(vm_->guest().running());
  EXPECT_TRUE(is_free());
}

/// Kills a process that writes continuously, at many different moments.
TEST_P(UsersStub, KilledDuringVisit_GuestRunsAndTheStubIsFree) {
  const std::string socket = vm_->guest().driver_socket();
  const auto qemu = process_of(vm_->guest().pid());
  const std::vector<std::string> chardevs{id()};
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      Monitor monitor{socket, qemu, 20s, false};
      for (unsigned i = 1;; ++i) {
        const std::vector<std::byte> bytes(kMaxVisitBytes, static_cast<std::byte>(i));
        static_cast<void>(monitor.session().map([&](MonitorSession&& session) {
          return write_by_gdbstub(session, Gpa{kFree}, bytes, chardevs).done;
        }));
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds{3000 + 1511 * round});
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_TRUE(eventually([&] { return vm_->guest().running() && is_free(); })) << round;
    const auto all = vm_->guest().pmemsave(kFree, kMaxVisitBytes);
    EXPECT_EQ(std::ranges::count(all, all.front()), std::ssize(all)) << "visits are whole, round " << round;
  }
  EXPECT_EQ(text_of(vm_->write(kFree, random_bytes(8))), "written");
  EXPECT_THAT(vm_->guest().monitor().human("info chardev"), Not(HasSubstr("vmemfs-gdb")));
  EXPECT_EQ(debugger()->ask("qqemu.PhyMemMode"), "0");
}

/// A debugger that connects in the middle of a visit waits for its end, and its guest does not run then.
TEST_P(UsersStub, DebuggerThatComesAndGoes_GetsItsStub) {
  std::jthread writer{[&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const WriteOutcome outcome = vm_->write(kFree, random_bytes(2000));
      EXPECT_TRUE(!outcome.failure || outcome.failure->kind == ErrorKind::busy) << text_of(outcome);
    }
  }};
  for (int round = 0; round < 30; ++round) {
    const auto gdb = debugger();
    const std::string registers = gdb->ask("g");
    EXPECT_GT(registers.size(), 100U) << registers;
    std::this_thread::sleep_for(std::chrono::milliseconds{round});
    EXPECT_FALSE(vm_->guest().running()) << "round " << round;
    EXPECT_EQ(gdb->ask("g"), registers);
    EXPECT_EQ(gdb->ask("D"), "OK");
  }
  writer.request_stop();
  writer.join();
  EXPECT_TRUE(eventually([&] { return vm_->guest().running() && is_free(); }));
}

/// The report is made without asking QEMU, so a stub that was started later is not in it.
TEST_P(UsersStub, AccessReport_SaysWhatTheCommandLineHas) {
  const std::string device = GetParam() == "unix" ? "unix:" : GetParam().substr(0, 3);
  const std::string expected =
      GetParam() == "monitor" ? "QEMU's gdbstub, started for each write" : "QEMU's own gdbstub (" + device;
  EXPECT_THAT(vm_->driver().access().writes, HasSubstr(expected));
  EXPECT_THAT(vm_->driver().access().registers, HasSubstr("set: " + expected));
}

INSTANTIATE_TEST_SUITE_P(Devices, UsersStub,
                         testing::Values("tcp", "tcp_loopback", "unix", "chardev", "monitor"),
                         [](const auto& test) { return test.param; });

TEST(UsersStubOnNoSocket, WritesAreRefusedUntilItEnds) {
  AttachedGuest vm{{.fill = "none", .extra = {"-gdb", "null"}}};
  EXPECT_THAT(vm.driver().access().registers, HasSubstr("set: none: "));
  EXPECT_THAT(vm.driver().access().writes, HasSubstr("not a listening socket"));
  const WriteOutcome refused = vm.write(kFree, random_bytes(8));
  ASSERT_TRUE(refused.failure);
  EXPECT_EQ(refused.failure->kind, ErrorKind::unsupported);
  EXPECT_THAT(refused.failure->text, HasSubstr("'null'"));
  EXPECT_TRUE(vm.guest().running());
  vm.guest().monitor().human("gdbserver none");
  EXPECT_EQ(text_of(vm.write(kFree, random_bytes(8))), "written");
}

/// Such as for kgdb: nothing of a visit must get to the guest's serial port.
TEST(UsersStubIsNoStub, ChardevCalledGdb_IsNotTouched) {
  const test::TempDir dir;
  const std::string path = dir / "serial";
  AttachedGuest vm{{.fill = "none",
                    .extra = {"-chardev", "socket,id=gdb,path=" + path + ",server=on,wait=off", "-device",
                              "isa-serial,index=1,chardev=gdb"}}};
  const std::string line = chardev_line(vm, "gdb");
  EXPECT_THAT(line, HasSubstr("disconnected:"));
  const auto bytes = random_bytes(8);
  EXPECT_EQ(text_of(vm.write(kFree, bytes)), "written");
  EXPECT_EQ(vm.guest().pmemsave(kFree, 8), bytes);
  EXPECT_EQ(chardev_line(vm, "gdb"), line);
  EXPECT_TRUE(vm.guest().running());
}

} // namespace
} // namespace vmemfs::qemu
