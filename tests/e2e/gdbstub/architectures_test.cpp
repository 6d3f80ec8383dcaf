// SPDX-License-Identifier: MIT
// The driver `gdbstub` with QEMUs of other architectures than x86_64: memory and registers are those of
// QEMU's monitor.
#include "e2e/gdbstub/stopped_machine.h"
#include "e2e/images/elf_file.h"
#include "support/files.h"
#include "support/gdb/gdb_client.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

/// The machine and the general registers in `core` are those of QEMU's own dump.
void expect_core(const Mount& mount, QemuGuest& guest, std::uint64_t ram, std::uint16_t machine) {
  const UniqueFd core{::open((mount / "vm/core").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(core) << mount.log();
  const auto head = pread_at(core.get(), 0, 1 << 16).bytes;
  const std::string dump = guest.dir() / "core";
  guest.monitor().execute(
      "dump-guest-memory",
      {{"paging", false}, {"protocol", "file:" + dump}, {"begin", ram}, {"length", 1 << 20}});
  const ElfFile ours{{reinterpret_cast<const char*>(head.data()), head.size()}};
  const ElfFile theirs{read_file(dump)};
  EXPECT_EQ(ours.machine(), machine);
  EXPECT_EQ(theirs.machine(), machine);
  auto notes = ours.notes("CORE");
  ASSERT_EQ(notes.size(), 2U);
  auto truth = theirs.notes("CORE");
  std::erase_if(truth,
                [&](const std::string& note) { return note.size() != notes[0].size(); }); // NT_FPREGSET
  for (auto* const list : {&notes, &truth}) {
    for (std::string& note : *list) {
      note.resize(note.size() - 8); // pr_fpvalid: QEMU has floating-point registers in a note of their own
    }
  }
  EXPECT_EQ(notes, truth);
  EXPECT_NE(notes[0], notes[1]);
}

TEST(GdbstubArchitecture, Aarch64_MemoryAndRegistersAreThoseOfTheMonitor) {
  StoppedMachine machine{"qemu-system-aarch64", kArmRam};
  {
    GdbClient debugger{machine.stub()};
    // Only then QEMU serves single registers.
    EXPECT_THAT(debugger.ask("qXfer:features:read:target.xml:0,400"), HasSubstr("aarch64"));
    for (unsigned i = 0; i <= 30; ++i) { // little endian
      EXPECT_EQ(debugger.ask(fmt::format("P{:x}={:02x}00000000ffee{:02x}", i, i + 1, 0x80 + i)), "OK");
    }
  }
  Mount mount{{"--vm", machine.vm()}};
  machine.expect_memory(mount);
  const std::string regs = read_file(mount / "vm/vcpus/0/regs");
  const std::string truth = machine.guest().monitor().human("info registers");
  const std::regex pattern{R"(\b(X([0-9]{2})|SP|PC|PSTATE)=([0-9a-f]+))"};
  int compared = 0;
  for (std::sregex_iterator it{truth.begin(), truth.end(), pattern}, end; it != end; ++it, ++compared) {
    const std::string name = (*it)[2].matched       ? fmt::format("x{}", std::stoi((*it)[2]))
                             : (*it)[1] == "SP"     ? "sp"
                             : (*it)[1] == "PSTATE" ? "cpsr"
                                                    : "pc";
    EXPECT_THAT(regs, HasSubstr(fmt::format("{} {:#018x}\n", name, std::stoull((*it)[3], nullptr, 16))));
  }
  EXPECT_GE(compared, 33) << truth;
  EXPECT_THAT(regs, HasSubstr("x30 0x9eeeff000000001f\n")) << "as the debugger has set it";
  for (const char* const name :
       {"\nsctlr_el1 ", "\nttbr0_el1 ", "\nttbr1_el1 ", "\ntcr_el1 ", "\nvbar_el1 "}) {
    EXPECT_THAT(regs, HasSubstr(name));
  }
  EXPECT_TRUE(exists(mount / "vm/vcpus/1/regs"));
  expect_core(mount, machine.guest(), kArmRam, EM_AARCH64);
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_FALSE(machine.guest().running()) << "as it was found";
}

/// Gives each register of a hart a value of its own, as far as it takes it.
void set_riscv_registers(GdbClient& debugger, unsigned hart) {
  EXPECT_EQ(debugger.ask(fmt::format("Hg{:x}", hart + 1)), "OK");
  constexpr unsigned kFirst = 1; // x0 is zero
  constexpr unsigned kLast = 64; // x1 to x31, pc, f0 to f31
  for (unsigned i = kFirst; i <= kLast; ++i) {
    // Little endian.
    EXPECT_EQ(debugger.ask(fmt::format("P{:x}={:02x}00000000ee{:02x}{:02x}", i, 2 * i, hart, 0x80 + i)),
              "OK");
  }
  const auto numbers = riscv_numbers(debugger);
  unsigned value = 0x40 + hart;
  for (const char* const name :
       {"stvec",    "sscratch", "sepc",    "scause", "stval",  "satp",    "mtvec",
        "mscratch", "mepc",     "mcause",  "mtval",  "mtval2", "medeleg", "mideleg",
        "mie",      "hedeleg",  "hideleg", "htval",  "vstvec", "vsepc",   "vscause"}) {
    value += 4;
    ASSERT_TRUE(numbers.contains(name)) << name;
    const std::string_view high = std::string_view{name} == "satp" ? "80" : "00"; // Sv39
    EXPECT_EQ(debugger.ask(fmt::format("P{}={:02x}020000000000{}", numbers.at(name), value, high)), "OK")
        << name;
  }
}

/// The registers of each hart in the text of `info registers -a`, by the names of the ABI.
std::vector<std::map<std::string, std::uint64_t>> monitor_registers(const std::string& text) {
  std::vector<std::map<std::string, std::uint64_t>> harts;
  const std::regex pattern{R"(CPU#\d+|([a-z][0-9a-z]*/)?([a-z][0-9a-z]*) +([0-9a-f]{16}))"};
  for (std::sregex_iterator it{text.begin(), text.end(), pattern}, end; it != end; ++it) {
    if (!(*it)[2].matched) {
      harts.emplace_back();
    } else if (!harts.empty()) {
      harts.back().emplace((*it)[2], std::stoull((*it)[3], nullptr, 16));
    }
  }
  return harts;
}

/// Every register that the monitor prints is in the files, with the monitor's value.
void expect_riscv_registers(const Mount& mount, QemuGuest& guest) {
  // Reading mideleg for the first time sets its bits that are always set with virtualization (QEMU 7.2).
  guest.monitor().human("info registers -a");
  const std::string text = guest.monitor().human("info registers -a");
  const auto harts = monitor_registers(text);
  ASSERT_EQ(harts.size(), 2U) << text;
  EXPECT_NE(harts[0], harts[1]);
  for (std::size_t hart = 0; hart < harts.size(); ++hart) {
    EXPECT_GE(harts[hart].size(), 65U + 20U) << "x0 to x31, pc, f0 to f31 and others:\n" << text;
    const std::string regs = "\n" + read_file(mount / fmt::format("vm/vcpus/{}/regs", hart));
    for (const auto& [name, value] : harts[hart]) {
      EXPECT_THAT(regs, HasSubstr(fmt::format("\n{} {:#018x}\n", name, value))) << "hart " << hart;
    }
  }
}

TEST(GdbstubArchitecture, Riscv64_MemoryAndRegistersAreThoseOfTheMonitor) {
  if (!is_installed("qemu-system-riscv64")) {
    GTEST_SKIP() << "there is no qemu-system-riscv64; it is in Debian's qemu-system-misc";
  }
  StoppedMachine machine{"qemu-system-riscv64", kRiscvRam, {"-cpu", "rv64", "-bios", "none"}};
  {
    GdbClient debugger{machine.stub()};
    // Only then QEMU serves single registers.
    EXPECT_THAT(debugger.ask("qXfer:features:read:target.xml:0,400"), HasSubstr("riscv:rv64"));
    set_riscv_registers(debugger, 0);
    set_riscv_registers(debugger, 1);
  }
  Mount mount{{"--vm", machine.vm()}};
  machine.expect_memory(mount);
  expect_riscv_registers(mount, machine.guest());
  const std::string regs = read_file(mount / "vm/vcpus/1/regs");
  for (const char* const line :
       {"\nt6 0x9f01ee000000003e\n", "\npc 0xa001ee0000000040\n", "\nft11 0xc001ee0000000080\n",
        "\nmhartid 0x0000000000000001\n", "\npriv 0x0000000000000003\n", "\nsatp 0x8000000000000259\n"}) {
    EXPECT_THAT(regs, HasSubstr(line)) << "as the debugger has set it";
  }
  expect_core(mount, machine.guest(), kRiscvRam, EM_RISCV);
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_FALSE(machine.guest().running()) << "as it was found";
}

/// Values that no test has chosen.
TEST(GdbstubArchitecture, Riscv64AfterItsFirmware_RegistersAreThoseOfTheMonitor) {
  if (!is_installed("qemu-system-riscv64")) {
    GTEST_SKIP() << "there is no qemu-system-riscv64; it is in Debian's qemu-system-misc";
  }
  StoppedMachine machine{"qemu-system-riscv64", kRiscvRam, {"-cpu", "rv64"}};
  machine.guest().resume();
  ASSERT_TRUE(machine.guest().wait_for_serial("Boot HART MEDELEG")) << machine.guest().serial();
  Mount mount{{"--vm", machine.vm()}};
  expect_riscv_registers(mount, machine.guest());
}

TEST(GdbstubArchitecture, Riscv32_MemoryIsThatOfTheMonitor_RegistersAreAbsentWithTheReason) {
  if (!is_installed("qemu-system-riscv32")) {
    GTEST_SKIP() << "there is no qemu-system-riscv32; it is in Debian's qemu-system-misc";
  }
  StoppedMachine machine{"qemu-system-riscv32", kRiscvRam, {"-cpu", "rv32", "-bios", "none"}};
  Mount mount{{"--vm", machine.vm()}};
  machine.expect_memory(mount);
  EXPECT_THAT(read_file(mount / "vm/info"), HasSubstr("not supported for riscv:rv32"));
}

/// 32-bit Arm: a target description, but no layout of registers.
TEST(GdbstubArchitecture, Arm_MemoryIsThatOfTheMonitor_RegistersAreAbsentWithTheReason) {
  StoppedMachine machine{"qemu-system-arm", kArmRam};
  Mount mount{{"--vm", machine.vm()}};
  machine.expect_memory(mount);
  EXPECT_THAT(read_file(mount / "vm/info"), HasSubstr("not supported for arm"));
}

} // namespace
} // namespace vmemfs::test
