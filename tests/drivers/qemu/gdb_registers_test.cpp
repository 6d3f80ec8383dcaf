// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "drivers/qemu/gdbstub/gdb_registers.h"
#include "support/processes.h"
#include "tests/drivers/qemu/firmware.h"
#include "tests/drivers/qemu/qemu_child.h"

#include <array>
#include <chrono>
#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::qemu {
namespace {

using x86_64::Register;

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kPlenty = 20s;

TEST(GdbRegisters, UnsettableRegistersAreNamed) {
  const std::vector<RegisterValue> values{
      {Register::rax, 1}, {Register::lstar, 1}, {Register::cs_base, 0}, {Register::dr7, 0}};
  const auto settable = check_settable(values);
  ASSERT_FALSE(settable);
  EXPECT_EQ(settable.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(settable.error().text, testing::HasSubstr("lstar, cs.base, dr7"));
  EXPECT_TRUE(check_settable({values.data(), 1}));
  EXPECT_TRUE(check_settable({}));
}

class SetRegisters : public testing::Test {
protected:
  void SetUp() override { ASSERT_TRUE(have_qemu()) << "no qemu-system-x86_64; run scripts/bootstrap --test"; }

  static Result<void> set(QemuChild& qemu, std::uint32_t vcpu, std::vector<RegisterValue> values,
                          const std::vector<std::string>& user_chardevs = {"gdb"}) {
    Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, false};
    return monitor.session().and_then([&](MonitorSession&& session) {
      return set_registers(session, VcpuId{vcpu}, values, user_chardevs);
    });
  }

  static void expect_set(QemuChild& qemu, std::uint32_t vcpu, std::vector<RegisterValue> values) {
    const auto done = set(qemu, vcpu, std::move(values));
    EXPECT_TRUE(done) << done.error().message();
  }

  static void expect_failure(const Result<void>& result, ErrorKind kind, const std::string& text) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, kind) << result.error().message();
    EXPECT_THAT(result.error().text, testing::HasSubstr(text));
  }

  static void expect_fifty_visits_leak_nothing(LongModeQemu& qemu) {
    expect_set(qemu, 0, {{Register::rbx, 0}});
    const std::size_t files = qemu.settled_open_files();
    for (std::uint64_t i = 1; i <= 50; ++i) {
      expect_set(qemu, i % 2, {{Register::rbx, i}});
      ASSERT_FALSE(qemu.paused());
    }
    EXPECT_EQ(qemu.register_of(0, "RBX"), 50U);
    EXPECT_EQ(qemu.register_of(1, "EBX"), 49U);
    EXPECT_TRUE(test::eventually([&] { return qemu.open_files() <= files; }));
  }
};

TEST_F(SetRegisters, RunningGuest_KeepsRunning) {
  LongModeQemu qemu;
  expect_set(qemu, 0,
             {{Register::rax, 0x1122334455667788},
              {Register::r15, 0xffffffffffffffff},
              {Register::rsp, 0x7000},
              {Register::rflags, 0x8d7},
              {Register::gs_base, 0xffff888000000000},
              {Register::cr2, 0x123456789abcdef0},
              {Register::cr4, 0xa0}});
  EXPECT_FALSE(qemu.paused());
  EXPECT_EQ(qemu.register_of(0, "RAX"), 0x1122334455667788U);
  EXPECT_EQ(qemu.register_of(0, "R15"), 0xffffffffffffffffU);
  EXPECT_EQ(qemu.register_of(0, "RSP"), 0x7000U);
  EXPECT_EQ(qemu.register_of(0, "RFL"), 0x8d7U);
  EXPECT_EQ(qemu.register_of(0, "CR2"), 0x123456789abcdef0U);
  EXPECT_EQ(qemu.register_of(0, "CR4"), 0xa0U);
  EXPECT_THAT(qemu.ask("info registers"), testing::HasSubstr("GS =0000 ffff888000000000"));
}

TEST_F(SetRegisters, NewRip_GuestContinuesThere) {
  LongModeQemu qemu;
  expect_set(qemu, 0, {{Register::rbx, 0x5000}, {Register::rip, kLongModeCounter}});
  const std::string first = qemu.ask("xp /1gx 0x5000");
  EXPECT_TRUE(test::eventually([&] { return qemu.ask("xp /1gx 0x5000") != first; }));
}

TEST_F(SetRegisters, PausedGuest_StaysPaused) {
  LongModeQemu qemu;
  qemu.ask("stop");
  expect_set(qemu, 0, {{Register::rbx, 0xabc}, {Register::kernel_gs_base, 5}, {Register::cr8, 3}});
  EXPECT_TRUE(qemu.paused());
  EXPECT_EQ(qemu.register_of(0, "RBX"), 0xabcU);
  qemu.ask("cont");
  EXPECT_EQ(qemu.register_of(0, "RBX"), 0xabcU);
}

TEST_F(SetRegisters, PrelaunchGuest_StaysPrelaunch) {
  QemuChild qemu{{"-S", "-bios", "LONG_MODE"}};
  expect_set(qemu, 0, {{Register::rbx, 0x77}});
  EXPECT_THAT(qemu.ask("info status"), testing::HasSubstr("prelaunch"));
  EXPECT_EQ(qemu.register_of(0, "EBX"), 0x77U);
}

TEST_F(SetRegisters, SecondVcpu_OthersUnchanged) {
  LongModeQemu qemu;
  const auto rbx = qemu.register_of(0, "RBX");
  expect_set(qemu, 1, {{Register::rbx, 0x1234}});
  EXPECT_EQ(qemu.register_of(1, "EBX"), 0x1234U) << "vCPU 1 is in real mode";
  EXPECT_EQ(qemu.register_of(0, "RBX"), rbx);
  expect_set(qemu, 0, {{Register::rbx, 0x5678}});
  EXPECT_EQ(qemu.register_of(1, "EBX"), 0x1234U);
  EXPECT_EQ(qemu.register_of(0, "RBX"), 0x5678U);
}

TEST_F(SetRegisters, ManyVcpusAreNumberedInHex) {
  QemuChild qemu{{"-S", "-smp", "18", "-bios", "LONG_MODE"}};
  for (const unsigned vcpu : {9U, 10U, 15U, 16U, 17U}) {
    expect_set(qemu, vcpu, {{Register::rbx, vcpu + 1}});
  }
  EXPECT_EQ(qemu.register_of(9, "EBX"), 10U);
  EXPECT_EQ(qemu.register_of(10, "EBX"), 11U);
  EXPECT_EQ(qemu.register_of(16, "EBX"), 17U);
  EXPECT_EQ(qemu.register_of(17, "EBX"), 18U);
  EXPECT_EQ(qemu.register_of(1, "EBX"), 0U);
}

TEST_F(SetRegisters, Selector_LoadsItsDescriptor) {
  LongModeQemu qemu;
  expect_set(qemu, 0, {{Register::fs_base, 0x123456789a}, {Register::fs_selector, 0x10}});
  EXPECT_THAT(qemu.ask("info registers"), testing::HasSubstr("FS =0010 000000123456789a ffffffff 00cf9200"))
      << "the base comes last";
  expect_set(qemu, 0, {{Register::ds_selector, 0x10}});
  EXPECT_THAT(qemu.ask("info registers"), testing::HasSubstr("DS =0010 0000000000000000 ffffffff 00cf9200"));
  expect_failure(set(qemu, 0, {{Register::es_selector, 0x1230}}), ErrorKind::source_failed,
                 "did not accept 0x1230 for es.selector");
  EXPECT_FALSE(qemu.paused());
}

TEST_F(SetRegisters, RegisterMissingInCpuMode_IsReported) {
  QemuChild qemu{{"-S", "-bios", "LONG_MODE"}};
  expect_failure(set(qemu, 0, {{Register::rbx, 0x1122334455667788}}), ErrorKind::source_failed,
                 "rbx, which is now 0x55667788");
  expect_failure(set(qemu, 0, {{Register::r8, 1}}), ErrorKind::source_failed, "r8");
}

TEST_F(SetRegisters, RefusalsChangeNothing) {
  LongModeQemu qemu;
  const auto rbx = qemu.register_of(0, "RBX");
  expect_failure(set(qemu, 0, {{Register::rbx, 1}, {Register::lstar, 1}}), ErrorKind::unsupported, "lstar");
  expect_failure(set(qemu, 0, {{Register::rbx, 1}, {Register::rflags, std::uint64_t{1} << 32}}),
                 ErrorKind::invalid, "rflags");
  expect_failure(set(qemu, 0, {{Register::rbx, 1}, {Register::ds_selector, 0x10000}}), ErrorKind::invalid,
                 "ds.selector");
  expect_failure(set(qemu, 2, {{Register::rbx, 1}}), ErrorKind::invalid, "no vCPU 2");
  EXPECT_TRUE(set(qemu, 0, {}));
  EXPECT_EQ(qemu.register_of(0, "RBX"), rbx);
  EXPECT_FALSE(qemu.paused());
}

TEST_F(SetRegisters, RegisterGivenTwice_LastValueCounts) {
  LongModeQemu qemu;
  expect_set(qemu, 0, {{Register::rbx, 1}, {Register::rcx, 2}, {Register::rbx, 3}});
  EXPECT_EQ(qemu.register_of(0, "RBX"), 3U);
}

TEST_F(SetRegisters, UsersStub_FiftyVisitsLeakNothing) {
  LongModeQemu qemu;
  const std::string path = qemu.directory() / "gdb";
  qemu.ask("gdbserver unix:" + path + ",server=on,wait=off");
  expect_fifty_visits_leak_nothing(qemu);
  EXPECT_THAT(qemu.ask("info chardev"), testing::HasSubstr("gdb: filename=disconnected:unix:" + path));
}

TEST_F(SetRegisters, FiftyVisits_LeakNothing) {
  LongModeQemu qemu;
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, false};
  expect_fifty_visits_leak_nothing(qemu);
  EXPECT_THAT(qemu.ask("info chardev"), testing::Not(testing::HasSubstr("vmemfs-gdb")));
}

TEST_F(SetRegisters, WithinAKeptMonitor) {
  LongModeQemu qemu;
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, true};
  for (std::uint64_t i = 1; i <= 5; ++i) {
    auto session = monitor.session();
    ASSERT_TRUE(session) << session.error().message();
    const std::vector<RegisterValue> values{{Register::rbx, i}};
    ASSERT_TRUE(set_registers(*session, VcpuId{0}, values, {}));
  }
  EXPECT_EQ(qemu.register_of(0, "RBX"), 5U);
}

/// Under KVM the stub changes a stale copy of the registers unless QEMU has fetched them before.
TEST_F(SetRegisters, UnderKvm) {
  if (!have_qemu(Accelerator::kvm)) {
    GTEST_SKIP() << "no usable /dev/kvm";
  }
  QemuChild qemu{{"-smp", "2", "-bios", "REAL_MODE"}, Accelerator::kvm};
  for (unsigned i = 1; i <= 5; ++i) {
    for (const unsigned vcpu : {0U, 1U}) {
      expect_set(qemu, vcpu, {{Register::rbx, 0x100 * i + vcpu}, {Register::rflags, 2 + i % 2}});
      std::this_thread::sleep_for(20ms);
      EXPECT_EQ(qemu.register_of(vcpu, "EBX"), 0x100 * i + vcpu);
      EXPECT_EQ(qemu.register_of(vcpu, "EFL"), 2 + i % 2);
      EXPECT_FALSE(qemu.paused());
    }
  }
  qemu.ask("stop");
  expect_set(qemu, 0, {{Register::rbx, 0x4711}});
  EXPECT_TRUE(qemu.paused());
  qemu.ask("cont");
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(qemu.register_of(0, "EBX"), 0x4711U);
}

TEST_F(SetRegisters, LeftoversOfDeadProcess_AreRemoved) {
  LongModeQemu qemu;
  Monitor monitor{qemu.qmp_path(), process_of(qemu.pid()), kPlenty, false};
  for (const bool with_stub : {false, true}) {
    {
      auto session = monitor.session();
      ASSERT_TRUE(session) << session.error().message();
      std::array<int, 2> fds{};
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
      const UniqueFd ours{fds[0]};
      const UniqueFd qemus{fds[1]};
      ASSERT_TRUE(session->add_socket_chardev("vmemfs-gdb", qemus.get()));
      if (with_stub) {
        ASSERT_TRUE(session->human("gdbserver chardev:vmemfs-gdb"));
        ASSERT_TRUE(session->cont());
      }
    }
    for (int i = 0; i < 100 && qemu.ask("info chardev").find("disconnected:fd") == std::string::npos; ++i) {
      std::this_thread::sleep_for(10ms); // until QEMU has detected the disconnect
    }
    expect_set(qemu, 0, {{Register::rbx, 0x99}});
    EXPECT_THAT(qemu.ask("info chardev"), testing::Not(testing::HasSubstr("vmemfs-gdb")));
    EXPECT_FALSE(qemu.paused());
  }
}

TEST_F(SetRegisters, OtherVmemfsVisit_IsNotDisturbed) {
  LongModeQemu qemu;
  qemu.ask("chardev-add null,id=vmemfs-gdb");
  expect_failure(set(qemu, 0, {{Register::rbx, 1}}), ErrorKind::busy, "another vmemfs");
  EXPECT_THAT(qemu.ask("info chardev"), testing::HasSubstr("vmemfs-gdb"));
}

/// Kills a process that sets registers continuously, at many different moments.
TEST_F(SetRegisters, KilledDuringVisit_GuestIsNotLeftPaused) {
  LongModeQemu qemu;
  for (int round = 0; round < 25; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (std::uint64_t i = 0;; ++i) {
        static_cast<void>(set(qemu, 0, {{Register::rbx, i}}));
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds{5000 + 731 * round});
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    bool paused = qemu.paused();
    for (int i = 0; i < 100 && paused; ++i) { // QEMU may not be finished yet
      std::this_thread::sleep_for(10ms);
      paused = qemu.paused();
    }
    ASSERT_FALSE(paused) << "round " << round;
  }
  expect_set(qemu, 0, {{Register::rbx, 4711}});
  EXPECT_EQ(qemu.register_of(0, "RBX"), 4711U);
  EXPECT_THAT(qemu.ask("info chardev"), testing::Not(testing::HasSubstr("vmemfs-gdb")));
}

} // namespace
} // namespace vmemfs::qemu
