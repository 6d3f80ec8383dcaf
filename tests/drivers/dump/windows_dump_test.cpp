// SPDX-License-Identifier: MIT
// A Windows crash dump that a real QEMU wrote (win-dmp), against what the same QEMU says of the guest's
// memory.
//
// QEMU asks the guest for the dump's header. The guest is not Windows: the test does in its place what the
// driver of Windows does, by the device fw_cfg (QEMU's docs/specs/fw_cfg.txt and vmcoreinfo.rst).
#include "arch/x86_64/registers.h"
#include "drivers/dump/dump_driver.h"
#include "drivers/qemu/flat_view/qtest_client.h"
#include "guests/tiny/layout.h"
#include "image/windows_dump.h"
#include "page_tables.h"
#include "support/qemu_guest.h"

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using x86_64::Register;

// Memory that the tiny guest does not use.
constexpr std::uint64_t kNote = 0x400000;
constexpr std::uint64_t kDebuggerBlock = 0x410000;
constexpr std::uint64_t kProcessorBlock = 0x411000;
constexpr std::uint64_t kProcessor = 0x412000;
constexpr std::uint64_t kContext = 0x413000;
constexpr std::uint64_t kVmcoreinfo = 0x420000;
constexpr std::uint64_t kDma = 0x421000;

/// All of the RAM but the last pages, in two runs.
const Runs kRuns{{1, 0x9e}, {0x100, 0x3ee0}};

class WindowsGuest {
public:
  WindowsGuest() {
    guest_.pause();
    std::string header = with(crash_header(1, kRuns), 0x10, TG_CR3, 8);
    header = with(header, 0x34, 1, 4);              // CPUs
    header = with(header, 0x40, kDebuggerBlock, 8); // first parameter of the bug check
    header = with(header, 0x80, kDebuggerBlock, 8);
    const std::string note =
        number(11, 4) + number(header.size(), 4) + number(0, 4) + std::string("VMCOREINFO\0\0", 12) + header;
    write(kNote, note);
    write(kDebuggerBlock + 0x10, "KDBG" + number(0, 4));
    write(kDebuggerBlock + 0x218, number(kProcessorBlock, 8));
    constexpr std::uint64_t kContextOffset = 0x100;
    write(kDebuggerBlock + 0x338, number(kContextOffset, 8));
    write(kProcessorBlock, number(kProcessor, 8));
    write(kProcessor + kContextOffset, number(kContext, 8));
    write(kVmcoreinfo, number(0, 2) + number(1, 2) + number(note.size(), 4) + number(kNote, 8));
    give_vmcoreinfo();
  }

  std::string dump() {
    std::string path = guest_.dir() / "dump";
    guest_.monitor().execute("dump-guest-memory",
                             {{"paging", false}, {"format", "win-dmp"}, {"protocol", "file:" + path}});
    return path;
  }
  [[nodiscard]] QemuGuest& guest() { return guest_; }

private:
  /// `bytes` are whole words of 8.
  void write(std::uint64_t gpa, const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, 8);
      qtest_.write("writeq", gpa + at, word);
    }
  }

  std::uint64_t read_config(std::size_t bytes) { // big-endian
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      value = value << 8U | qtest_.read("inb", 0x511);
    }
    return value;
  }

  std::uint64_t find_config_file(const std::string& wanted) {
    qtest_.write("outw", 0x510, 0x19); // the directory
    for (std::uint64_t left = read_config(4); left > 0; --left) {
      static_cast<void>(read_config(4)); // size
      const std::uint64_t key = read_config(2);
      static_cast<void>(read_config(2));
      std::string name;
      for (std::size_t i = 0; i < 56; ++i) {
        name += static_cast<char>(read_config(1));
      }
      if (name.substr(0, name.find('\0')) == wanted) {
        return key;
      }
    }
    throw std::runtime_error{"fw_cfg has no " + wanted};
  }

  void give_vmcoreinfo() {
    constexpr std::uint64_t kSelectAndWrite = 0x8 | 0x10;
    const std::uint64_t control = find_config_file("etc/vmcoreinfo") << 16U | kSelectAndWrite;
    qtest_.write("writeq", kDma, __builtin_bswap64(control << 32U | 16U));
    qtest_.write("writeq", kDma + 8, __builtin_bswap64(kVmcoreinfo));
    qtest_.write("outl", 0x514, 0);
    qtest_.write("outl", 0x518, __builtin_bswap32(kDma)); // starts
    if (qtest_.read("readl", kDma) != 0) {
      throw std::runtime_error{"fw_cfg did not take the note"};
    }
  }

  TempDir dir_;
  QemuGuest guest_{
      {.extra = {"-device", "vmcoreinfo", "-qtest", "unix:" + dir_ / "qtest" + ",server=on,wait=off"}}};
  qemu::QtestClient qtest_{dir_ / "qtest"};
};

TEST(WindowsDump, OfQemu_HasMemoryAndRegisters) {
  WindowsGuest windows;
  const auto driver = DumpDriver::open(windows.dump());
  ASSERT_TRUE(driver) << driver.error().message();
  EXPECT_THAT((*driver)->access().map, HasSubstr("Windows crash dump (complete memory)"));
  EXPECT_THAT((*driver)->probe(), testing::IsEmpty());
  const auto regions = (*driver)->memory_map()->regions();
  ASSERT_EQ(regions.size(), kRuns.size());
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const GpaRange range = regions[i].range;
    EXPECT_EQ(range.begin, Gpa{kRuns[i].first * kPageSize});
    EXPECT_EQ(range.size(), kRuns[i].second * kPageSize);
    // Where QEMU puts the CPU's state for debuggers, and takes it away after the dump.
    const auto truth = windows.guest().pmemsave(range.begin.value(), range.size());
    std::vector<std::byte> bytes(truth.size());
    ReadPiece piece{range.begin, bytes, 0, {}};
    (*driver)->read({&piece, 1});
    ASSERT_EQ(piece.done, bytes.size());
    if (range.contains(Gpa{kContext})) {
      constexpr std::size_t kContextBytes = 0x4d0;
      const auto at = static_cast<std::ptrdiff_t>(kContext - range.begin.value());
      std::copy_n(truth.begin() + at, kContextBytes, bytes.begin() + at);
    }
    EXPECT_TRUE(bytes == truth) << i;
  }
  const auto registers = (*driver)->register_reader()->read_vcpu(VcpuId{0});
  ASSERT_TRUE(registers);
  EXPECT_EQ(registers->get(Register::cr3), TG_CR3);
  EXPECT_EQ(registers->get(Register::rip), 0xfffff80312345678) << "as the guest's header has it";
}

TEST(WindowsDump, PageTables_AreWalkedFromItsRoot) {
  WindowsGuest windows;
  const auto driver = DumpDriver::open(windows.dump());
  ASSERT_TRUE(driver) << driver.error().message();
  expect_page_tables(**driver);
}

} // namespace
} // namespace vmemfs::test
