// SPDX-License-Identifier: MIT
// Registers through the mount, compared with QEMU's monitor and with what the guest itself sees.
#include "guests/tiny/layout.h"
#include "support/gdb/gdb_client.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using Registers = std::map<std::string, std::uint64_t>;

/// The output of `info registers` for one vCPU, parsed with regular expressions, independently of the
/// driver's parser.
Registers true_registers(const std::string& text, unsigned vcpu) {
  const std::string head = fmt::format("CPU#{}", vcpu);
  const std::size_t begin = text.find(head) + head.size();
  const std::string block = text.substr(begin, text.find("CPU#", begin) - begin);
  Registers found;
  const auto all = [&](const char* pattern, const auto& take) {
    const std::regex expression{pattern};
    for (std::sregex_iterator it{block.begin(), block.end(), expression}, end; it != end; ++it) {
      take(*it);
    }
  };
  const auto hex = [](const std::string& digits) { return std::stoull(digits, nullptr, 16); };
  static const std::map<std::string, std::string> kNames{
      {"RFL", "rflags"}, {"EFL", "rflags"}, {"EFER", "efer"}, {"EIP", "rip"}, {"EAX", "rax"}, {"EBX", "rbx"},
      {"ECX", "rcx"},    {"EDX", "rdx"},    {"ESI", "rsi"},   {"EDI", "rdi"}, {"EBP", "rbp"}, {"ESP", "rsp"}};
  all(R"(\b(R[A-D]X|R[SD]I|R[BS]P|R8|R9|R1[0-5]|RIP|RFL|E[A-D]X|E[SD]I|E[BS]P|EIP|EFL|CR[0234]|DR[012367]|EFER) *=([0-9a-f]+))",
      [&](const std::smatch& match) {
        std::string name = match[1];
        name = kNames.contains(name) ? kNames.at(name) : name;
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return std::tolower(c); });
        found[name] = hex(match[2]);
      });
  all(R"(\b(ES|CS|SS|DS|FS|GS|LDT|TR) *=([0-9a-f]{4}) ([0-9a-f]+) ([0-9a-f]{8}) ([0-9a-f]{8}))",
      [&](const std::smatch& match) {
        std::string name = match[1];
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return std::tolower(c); });
        const std::uint64_t flags = hex(match[5]);
        found[name + ".selector"] = hex(match[2]);
        found[name + ".base"] = hex(match[3]);
        found[name + ".limit"] = hex(match[4]);
        const bool present = (flags & 0x8000U) != 0;
        found[name + ".attributes"] = ((flags >> 8U) & 0xf0ffU) | (present ? 0U : 0x10000U);
      });
  all(R"(\b(GDT|IDT)= +([0-9a-f]+) ([0-9a-f]{8}))", [&](const std::smatch& match) {
    const std::string name = match[1] == "GDT" ? "gdt" : "idt";
    found[name + ".base"] = hex(match[2]);
    found[name + ".limit"] = hex(match[3]);
  });
  return found;
}

Registers registers_of(const std::string& path) {
  Registers found;
  std::istringstream lines{read_file(path)};
  std::string name;
  std::string value;
  while (lines >> name >> value) {
    EXPECT_EQ(value.size(), 18U) << value;
    found[name] = std::stoull(value, nullptr, 16);
  }
  return found;
}

TEST(Registers, EqualInfoRegistersOfEachVcpu) {
  for (const char* machine : {"pc", "microvm"}) {
    GuestOptions options;
    options.machine = machine;
    options.extra = {"-smp", "2"}; // the second one is never started, so it is in real mode
    QemuGuest guest{options};
    guest.pause();
    Mount mount{{"--vm", fmt::format("vm=qemu:pid={}", guest.pid())}};
    const std::string text = guest.monitor().human("info registers -a");
    for (unsigned vcpu = 0; vcpu < 2; ++vcpu) {
      const auto expected = true_registers(text, vcpu);
      EXPECT_GT(expected.size(), 55U) << text;
      EXPECT_EQ(registers_of(mount / fmt::format("vm/vcpus/{}/regs", vcpu)), expected)
          << machine << " " << vcpu;
    }
    const auto first = registers_of(mount / "vm/vcpus/0/regs");
    EXPECT_EQ(first.at("r12"), TG_R12);
    EXPECT_EQ(first.at("fs.base"), TG_FS_BASE);
    EXPECT_EQ(first.at("cr3"), TG_CR3);
    EXPECT_EQ(first.at("dr0"), TG_DR0);
  }
}

TEST(Registers, SetRegister_IsSeenByTheGuest) {
  GuestOptions options;
  options.extra = {"-smp", "2"};
  QemuGuest guest{options};
  Mount mount{{"--writable", "--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  // Running: stopped for a moment, then running again.
  ASSERT_EQ(try_write(mount / "vm/vcpus/0/regs", "r12 0xabcdef0123456789\n"), 0) << mount.log();
  EXPECT_TRUE(guest.wait_for_serial("r12 0xabcdef0123456789"));
  EXPECT_TRUE(guest.running());
  // Paused: stays paused, and the guest sees it later.
  guest.pause();
  ASSERT_EQ(try_write(mount / "vm/vcpus/0/regs", "r13 0x1\nr14 2\n"), 0) << mount.log();
  EXPECT_FALSE(guest.running());
  EXPECT_EQ(registers_of(mount / "vm/vcpus/0/regs").at("r14"), 2U);
  guest.resume();
  EXPECT_TRUE(guest.wait_for_serial("r13 0x0000000000000001"));
  EXPECT_TRUE(guest.wait_for_serial("r14 0x0000000000000002"));
}

TEST(Registers, UnsettableRegister_IsRefusedWithoutChanges) {
  QemuGuest guest{{}};
  guest.pause();
  Mount mount{{"--writable", "--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  const auto before = registers_of(mount / "vm/vcpus/0/regs");
  EXPECT_EQ(try_write(mount / "vm/vcpus/0/regs", "rbx 5\ngdt.base 0\n"), EOPNOTSUPP);
  EXPECT_EQ(try_write(mount / "vm/vcpus/0/regs", "rbx 5\nrbx\n"), EINVAL);
  EXPECT_EQ(registers_of(mount / "vm/vcpus/0/regs"), before);
  EXPECT_THAT(read_file(mount / "vm/control"), testing::HasSubstr("gdt.base"));
}

std::set<std::string> names(const std::string& directory) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator{directory}) {
    found.insert(entry.path().filename());
  }
  return found;
}

TEST(Registers, HotPluggedVcpus_AppearByThemselvesWithTheirIndexes) {
  GuestOptions options;
  options.machine = "q35";
  options.extra = {"-smp", "1,maxcpus=4"};
  QemuGuest guest{options};
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  EXPECT_EQ(names(mount / "vm/vcpus"), std::set<std::string>{"0"});
  guest.plug_vcpu(3);
  EXPECT_TRUE(eventually([&] { return names(mount / "vm/vcpus") == std::set<std::string>{"0", "3"}; }));
  const auto has_event = [&](const char* detail) {
    return read_file(mount / ".vmemfs/events").find(detail) != std::string::npos;
  };
  EXPECT_TRUE(eventually([&] { return has_event("added 3; now 0,3"); }));
  guest.plug_vcpu(1);
  EXPECT_TRUE(eventually([&] { return names(mount / "vm/vcpus") == std::set<std::string>{"0", "1", "3"}; }));
  for (const char* const vcpu : {"0", "1", "3"}) {
    EXPECT_FALSE(registers_of(mount / fmt::format("vm/vcpus/{}/regs", vcpu)).empty()) << vcpu;
  }
  EXPECT_FALSE(exists(mount / "vm/vcpus/2"));
  EXPECT_THAT(read_file(mount / "vm/info"), testing::HasSubstr("\"vcpu_list\": \"0-1,3\""));
  EXPECT_TRUE(eventually([&] { return has_event("added 1; now 0-1,3"); }))
      << read_file(mount / ".vmemfs/events");
}

TEST(Registers, WholeFile_CanBeEditedAndWrittenBack) {
  QemuGuest guest{{}};
  guest.pause();
  Mount mount{{"--writable", "--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  const std::string path = mount / "vm/vcpus/0/regs";
  std::string text = read_file(path);
  const std::size_t at = text.find("r15 0x");
  text.replace(at, 22, "r15 0x0000000000abcdef");
  ASSERT_EQ(try_write(path, text), 0) << mount.log();
  EXPECT_EQ(read_file(path), text);
}

constexpr off_t kUnused = 0x1800000; ///< filled once by the guest, which does not read it again

TEST(Registers, UsersStub_IsBorrowedWhileNoDebuggerIsConnected) {
  GuestOptions options;
  TempDir dir;
  options.extra = {"-gdb", "unix:" + (dir / "gdb") + ",server=on,wait=off"};
  QemuGuest guest{options};
  Mount mount{{"--writable", "--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  const std::string regs = mount / "vm/vcpus/0/regs";
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDWR | O_CLOEXEC)};
  const std::string bytes = "borrowed";
  EXPECT_THAT(read_file(mount / "vm/info"), testing::HasSubstr("borrowed for each write while no debugger"));
  EXPECT_EQ(try_write(regs, "r12 0x5000\n"), 0) << mount.log();
  EXPECT_EQ(true_registers(guest.monitor().human("info registers -a"), 0)["r12"], 0x5000U);
  EXPECT_EQ(::pwrite(mem.get(), bytes.data(), bytes.size(), kUnused), std::ssize(bytes)) << mount.log();
  const auto written = guest.pmemsave(kUnused, bytes.size());
  EXPECT_EQ(std::memcmp(written.data(), bytes.data(), bytes.size()), 0);
  EXPECT_TRUE(guest.running());
  {
    GdbClient debugger{dir / "gdb"};
    EXPECT_EQ(debugger.ask("qAttached"), "1");
    EXPECT_EQ(try_write(regs, "r12 0x6000\n"), EBUSY);
    EXPECT_EQ(::pwrite(mem.get(), bytes.data(), bytes.size(), kUnused), -1);
    EXPECT_EQ(errno, EBUSY);
    EXPECT_THAT(read_file(mount / "vm/control"), testing::HasSubstr("a debugger is connected"));
    EXPECT_EQ(debugger.ask("qAttached"), "1");
    EXPECT_FALSE(guest.running());
    EXPECT_EQ(debugger.ask("D"), "OK");
  }
  EXPECT_TRUE(eventually([&] { return try_write(regs, "r12 0x7000\n") == 0; })) << mount.log();
  EXPECT_EQ(true_registers(guest.monitor().human("info registers -a"), 0)["r12"], 0x7000U);
  EXPECT_TRUE(guest.running());
}

TEST(Registers, WithoutMonitor_AreRefusedAndInfoHasTheReason) {
  GuestOptions options;
  options.monitor_for_driver = false;
  QemuGuest guest{options};
  Mount mount{{"--writable", "--vm", fmt::format("vm=qemu:pid={},timeout=500ms", guest.pid())}};
  EXPECT_THROW(static_cast<void>(read_file(mount / "vm/vcpus/0/regs")), std::system_error);
  EXPECT_EQ(try_write(mount / "vm/vcpus/0/regs", "rbx 1\n"), EOPNOTSUPP);
  EXPECT_EQ(try_write(mount / "vm/control", "pause\n"), EOPNOTSUPP);
  EXPECT_THAT(read_file(mount / "vm/info"), testing::HasSubstr("another client is connected"));
}

} // namespace
} // namespace vmemfs::test
