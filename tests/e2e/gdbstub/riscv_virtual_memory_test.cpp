// SPDX-License-Identifier: MIT
// `virt` and `virt_maps` of a riscv64 guest with page tables of each mode. The truth is QEMU's own walk of
// them: memsave, and `info mem` of its monitor.
#include "e2e/gdbstub/stopped_machine.h"
#include "support/files.h"
#include "support/gdb/gdb_client.h"
#include "support/mount.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

// Entries as the privileged specification writes them: V R W X U G A D.
constexpr std::uint64_t kTable = 0x01;
constexpr std::uint64_t kCode = 0xcb;
constexpr std::uint64_t kData = 0xc7;
constexpr std::uint64_t kReadOnly = 0xc3;
constexpr std::uint64_t kUserData = 0xd7;
constexpr std::uint64_t kUserCode = 0xdb;

struct Mode {
  const char* name;
  unsigned levels;
  std::uint64_t satp; ///< its mode
};

void PrintTo(const Mode& mode, std::ostream* out) { *out << mode.name; }

/// Page tables in RAM, with the root first.
class Tables {
public:
  Tables(std::uint64_t begin, unsigned levels) : begin_{begin}, levels_{levels} { bytes_.resize(kPage); }

  /// Maps one page of `4096 << 9 * (level - 1)` bytes.
  void map(std::uint64_t address, std::uint64_t gpa, std::uint64_t flags, unsigned level = 1) {
    std::size_t table = 0;
    for (unsigned at = levels_; at > level; --at) {
      const std::size_t place = table + index(address, at);
      std::uint64_t entry = 0;
      std::memcpy(&entry, bytes_.data() + place, sizeof entry);
      if (entry == 0) {
        entry = (begin_ + bytes_.size()) >> 12U << 10U | kTable;
        bytes_.resize(bytes_.size() + kPage);
        std::memcpy(bytes_.data() + place, &entry, sizeof entry);
      }
      table = (entry >> 10U << 12U) - begin_;
    }
    const std::uint64_t entry = gpa >> 12U << 10U | flags;
    std::memcpy(bytes_.data() + table + index(address, level), &entry, sizeof entry);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

private:
  static constexpr std::size_t kPage = 4096;

  static std::size_t index(std::uint64_t address, unsigned level) {
    return (address >> (12 + 9 * (level - 1)) & 511U) * sizeof(std::uint64_t);
  }

  std::uint64_t begin_;
  unsigned levels_;
  std::string bytes_;
};

constexpr std::uint64_t kTablesAt = kRiscvRam + (64 << 20);
constexpr std::uint64_t kContentAt = kRiscvRam + kContent;

class RiscvVirtualMemory : public testing::TestWithParam<Mode> {
protected:
  void SetUp() override {
    if (!is_installed("qemu-system-riscv64")) {
      GTEST_SKIP() << "there is no qemu-system-riscv64; it is in Debian's qemu-system-misc";
    }
    Tables tables{kTablesAt, GetParam().levels};
    tables.map(0x1'0000, kContentAt + 0x3000, kUserCode);
    tables.map(0x1'1000, kContentAt + 0x4000, kUserCode);
    tables.map(0x1'2000, kContentAt + 0x5000, kUserData);
    tables.map(0x1'4000, kContentAt + 0x7000, kUserData);
    tables.map(low_end() - 0x1000, kContentAt, kUserData);
    tables.map(~low_end() + 1, kContentAt + 0x1000, kCode);
    tables.map(kKernel, kContentAt, kCode, 2);
    tables.map(kKernel + 0x20'0000, kContentAt + 0x20'0000, kData, 2);
    tables.map(kKernel + 0x40'0000, kContentAt + 0x9000, kReadOnly);
    write_file(dir_ / "tables", tables.bytes());
    const std::string loader =
        fmt::format("loader,file={},addr={:#x},force-raw=on", dir_ / "tables", kTablesAt);
    machine_.emplace("qemu-system-riscv64", kRiscvRam,
                     std::vector<std::string>{"-cpu", "rv64", "-bios", "none", "-device", loader});
  }

  /// The end of the lower half of the addresses.
  [[nodiscard]] static std::uint64_t low_end() { return 1ULL << (9 * GetParam().levels + 11); }

  /// Of the first hart, by a debugger.
  void set(std::uint64_t satp, unsigned privilege) {
    GdbClient debugger{machine_->stub()};
    EXPECT_THAT(debugger.ask("qXfer:features:read:target.xml:0,400"), HasSubstr("riscv:rv64"));
    EXPECT_EQ(debugger.ask("Hg1"), "OK");
    const auto numbers = riscv_numbers(debugger);
    const auto put = [&](const std::string& number, std::uint64_t value) {
      std::string bytes;
      for (unsigned shift = 0; shift < 64; shift += 8) {
        bytes += fmt::format("{:02x}", value >> shift & 0xffU);
      }
      EXPECT_EQ(debugger.ask(fmt::format("P{}={}", number, bytes)), "OK") << number;
    };
    put(numbers.at("pmpaddr0"), ~0ULL >> 10U); // else only machine mode has access
    put(numbers.at("pmpcfg0"), 0x1f);
    put(numbers.at("satp"), satp);
    put(kPrivilege, privilege);
  }

  /// What QEMU reads there; empty if it says that it cannot.
  std::string memsave(std::uint64_t address, std::size_t size) {
    const std::string path = machine_->guest().dir() / "memsave";
    try {
      machine_->guest().monitor().execute("memsave", {{"val", static_cast<std::int64_t>(address)},
                                                      {"size", size},
                                                      {"filename", path},
                                                      {"cpu-index", 0}});
    } catch (const std::runtime_error&) {
      return {};
    }
    return read_file(path);
  }

  /// `info mem` in the form of virt_maps.
  std::vector<std::string> monitor_ranges() {
    std::istringstream lines{machine_->guest().monitor().human("info mem")};
    std::vector<std::string> ranges;
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words{line};
      std::string begin;
      std::string gpa;
      std::string size;
      std::string rights;
      if (words >> begin >> gpa >> size >> rights && begin.find_first_not_of("0123456789abcdef") > 15) {
        const std::uint64_t bytes = std::stoull(size, nullptr, 16);
        const std::uint64_t end = std::stoull(begin, nullptr, 16) + bytes;
        ranges.push_back(fmt::format("{}-{:016x} {:#x} {} {}", begin, end, bytes, rights.substr(0, 4), gpa));
      }
    }
    return ranges;
  }

  static constexpr std::uint64_t kKernel = 0xffff'ffff'8000'0000;
  static constexpr const char* kPrivilege = "41"; ///< behind those of the floating-point registers

  TempDir dir_;
  std::optional<StoppedMachine> machine_;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream lines{text};
  std::vector<std::string> all;
  for (std::string line; std::getline(lines, line);) {
    line.erase(line.find_last_not_of(' ') + 1); // the text is filled up to its size
    if (!line.empty() && !line.starts_with('#')) {
      all.push_back(line);
    }
  }
  return all;
}

TEST_P(RiscvVirtualMemory, IsThatOfQemusWalk) {
  const std::uint64_t satp = GetParam().satp << 60U | kTablesAt >> 12U;
  constexpr unsigned kUser = 0;
  constexpr unsigned kSupervisor = 1;
  for (const unsigned privilege : {kUser, kSupervisor}) { // QEMU reads only what that mode may
    set(satp, privilege);
    Mount mount{{"--vm", machine_->vm()}};
    EXPECT_EQ(lines_of(read_file(mount / "vm/vcpus/0/virt_maps")), monitor_ranges());
    EXPECT_EQ(monitor_ranges().size(), 8U);
    const UniqueFd virt{::open((mount / "vm/vcpus/0/virt").c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_TRUE(virt) << mount.log();
    unsigned compared = 0;
    for (const std::uint64_t address :
         {std::uint64_t{0x1'0000}, std::uint64_t{0x1'1ff0}, std::uint64_t{0x1'4001}, low_end() - 0x1000,
          ~low_end() + 1 + 0x123, kKernel, kKernel + 0x12'3456, kKernel + 0x1f'ff00, kKernel + 0x40'0ff0}) {
      for (const std::size_t size : {std::size_t{16}, std::size_t{0x1000}, std::size_t{0x10'0000}}) {
        const std::string truth = memsave(address, size);
        if (truth.empty()) {
          continue;
        }
        const auto read = pread_at(virt.get(), address & ~(1ULL << 63U), size);
        ASSERT_EQ(read.bytes.size(), truth.size()) << std::hex << address;
        EXPECT_EQ(std::memcmp(read.bytes.data(), truth.data(), truth.size()), 0) << std::hex << address;
        ++compared;
      }
    }
    EXPECT_GE(compared, privilege == kUser ? 6U : 9U);
    for (const std::uint64_t address : {std::uint64_t{0xf000}, std::uint64_t{0x1'3000}, kKernel + 0x40'1000,
                                        low_end(), std::uint64_t{1} << 60U}) {
      EXPECT_EQ(memsave(address, 16), "");
      EXPECT_EQ(pread_at(virt.get(), address & ~(1ULL << 63U), 16).error, EIO) << std::hex << address;
    }
  }
}

TEST_P(RiscvVirtualMemory, OfMachineMode_IsPhysicalMemory) {
  constexpr unsigned kMachine = 3;
  set(GetParam().satp << 60U | kTablesAt >> 12U, kMachine);
  Mount mount{{"--vm", machine_->vm()}};
  const UniqueFd virt{::open((mount / "vm/vcpus/0/virt").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(virt) << mount.log();
  const std::string truth = memsave(kContentAt, 0x10'0000);
  ASSERT_EQ(truth.size(), 0x10'0000U);
  const auto read = pread_at(virt.get(), kContentAt, truth.size());
  ASSERT_EQ(read.bytes.size(), truth.size());
  EXPECT_EQ(std::memcmp(read.bytes.data(), truth.data(), truth.size()), 0);
}

INSTANTIATE_TEST_SUITE_P(Modes, RiscvVirtualMemory,
                         testing::Values(Mode{"Sv39", 3, 8}, Mode{"Sv48", 4, 9}, Mode{"Sv57", 5, 10}),
                         [](const auto& mode) { return std::string{mode.param.name}; });

} // namespace
} // namespace vmemfs::test
