// SPDX-License-Identifier: MIT
// The driver `gdbstub` with QEMUs of other architectures than x86_64: memory and registers are those of
// QEMU's monitor.
#include "support/child_process.h"
#include "support/files.h"
#include "support/gdb/gdb_client.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <regex>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::size_t kContentBytes = std::size_t{3} << 20;
constexpr std::uint64_t kContent = 16 << 20; ///< in the RAM, behind what QEMU itself puts there

bool is_installed(const std::string& program) { return run({"sh", "-c", "command -v " + program}).code == 0; }

/// Bytes that repeat nowhere.
std::string content() {
  std::string bytes(kContentBytes, 0);
  std::uint32_t state = 1;
  for (char& c : bytes) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24U);
  }
  return bytes;
}

/// A machine that has not run yet, with random bytes in its RAM.
class StoppedMachine {
public:
  StoppedMachine(const std::string& program, std::uint64_t ram, const std::vector<std::string>& more = {})
      : ram_{ram} {
    write_file(dir_ / "content", content());
    GuestOptions options{.program = program, .machine = "virt", .memory = "128M", .kernel = false};
    const std::string loader =
        fmt::format("loader,file={},addr={:#x},force-raw=on", dir_ / "content", ram + kContent);
    options.extra = {
        "-S", "-smp", "2", "-device", loader, "-gdb", fmt::format("unix:{},server=on,wait=off", stub())};
    options.extra.insert(options.extra.end(), more.begin(), more.end());
    guest_.emplace(options);
  }

  [[nodiscard]] QemuGuest& guest() { return *guest_; }
  [[nodiscard]] std::string stub() const { return dir_ / "gdb"; }
  [[nodiscard]] std::string vm() const {
    return fmt::format("vm=gdbstub:address={},timeout=60s,maps={:#x}-{:#x}", stub(), ram_,
                       ram_ + (128 << 20));
  }
  void expect_memory(const Mount& mount) {
    const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_TRUE(mem) << mount.log();
    for (std::uint64_t at = 0; at < kContent + kContentBytes + 4096; at += 1 << 20) {
      EXPECT_EQ(pread_at(mem.get(), ram_ + at, 1 << 20).bytes, guest_->pmemsave(ram_ + at, 1 << 20)) << at;
    }
  }

private:
  TempDir dir_;
  const std::uint64_t ram_;
  std::optional<QemuGuest> guest_;
};

TEST(GdbstubArchitecture, Aarch64_MemoryAndRegistersAreThoseOfTheMonitor) {
  StoppedMachine machine{"qemu-system-aarch64", 0x4000'0000};
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
  EXPECT_EQ(mount.unmount(), 0);
  EXPECT_FALSE(machine.guest().running()) << "as it was found";
}

TEST(GdbstubArchitecture, Riscv64_MemoryIsThatOfTheMonitor_RegistersAreAbsentWithTheReason) {
  if (!is_installed("qemu-system-riscv64")) {
    GTEST_SKIP() << "there is no qemu-system-riscv64; it is in Debian's qemu-system-misc";
  }
  StoppedMachine machine{"qemu-system-riscv64", 0x8000'0000, {"-cpu", "rv64", "-bios", "none"}};
  Mount mount{{"--vm", machine.vm()}};
  machine.expect_memory(mount);
  EXPECT_THAT(read_file(mount / "vm/info"), HasSubstr("not supported for riscv:rv64"));
}

/// 32-bit Arm: a target description, but no layout of registers.
TEST(GdbstubArchitecture, Arm_MemoryIsThatOfTheMonitor_RegistersAreAbsentWithTheReason) {
  StoppedMachine machine{"qemu-system-arm", 0x4000'0000};
  Mount mount{{"--vm", machine.vm()}};
  machine.expect_memory(mount);
  EXPECT_THAT(read_file(mount / "vm/info"), HasSubstr("not supported for arm"));
}

} // namespace
} // namespace vmemfs::test
