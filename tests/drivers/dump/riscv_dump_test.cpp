// SPDX-License-Identifier: MIT
// Dumps of a riscv64 guest that qemu-system-riscv64 wrote, against what the same QEMU says of its memory and
// registers. The guest runs firmware alone.
#include "arch/riscv64/registers.h"
#include "drivers/dump/dump_driver.h"
#include "support/qemu_guest.h"

#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

class RiscvDump : public testing::Test {
protected:
  void SetUp() override {
    if (run({"sh", "-c", "command -v qemu-system-riscv64"}).code != 0) {
      GTEST_SKIP() << "there is no qemu-system-riscv64; it is in Debian's qemu-system-misc";
    }
    guest_.emplace(GuestOptions{.program = "qemu-system-riscv64",
                                .machine = "virt",
                                .extra = {"-cpu", "rv64", "-smp", "2"},
                                .kernel = false});
    ASSERT_TRUE(guest_->wait_for_serial("Boot HART MEDELEG")) << guest_->serial();
    guest_->pause();
  }

  /// Opens what QEMU writes in this format.
  [[nodiscard]] Result<std::unique_ptr<DumpDriver>> dump(const std::string& format) {
    const std::string path = guest_->dir() / "dump." + format;
    guest_->monitor().execute("dump-guest-memory",
                              {{"paging", false}, {"protocol", "file:" + path}, {"format", format}});
    return DumpDriver::open(path);
  }

  void expect_same_memory(Driver& driver) {
    std::uint64_t compared = 0;
    for (const Region& region : driver.memory_map()->regions()) {
      const auto truth = guest_->pmemsave(region.range.begin.value(), region.range.size());
      std::vector<std::byte> bytes(truth.size());
      ReadPiece piece{region.range.begin, bytes, 0, {}};
      driver.read({&piece, 1});
      ASSERT_EQ(piece.done, bytes.size()) << fmt::format("{:#x}", region.range.begin.value());
      EXPECT_TRUE(bytes == truth) << fmt::format("{:#x}", region.range.begin.value());
      compared += bytes.size();
    }
    EXPECT_GE(compared, std::uint64_t{64} << 20U);
  }

  /// The notes have pc and x1 to x31.
  void expect_same_registers(Driver& driver) {
    const std::string truth = guest_->monitor().human("info registers -a");
    ASSERT_NE(driver.register_reader(), nullptr) << driver.access().registers;
    ASSERT_EQ(&driver.register_reader()->register_layout(), &riscv64::register_layout());
    ASSERT_EQ(driver.vcpus(), VcpuSet::first(2));
    const std::regex pattern{R"(CPU#(\d+)|(?:x\d+/([a-z0-9]+)|\b(pc)) +([0-9a-f]{16}))"};
    Result<RegisterSet> saved = fail(ErrorKind::not_found, "test", "no CPU");
    int compared = 0;
    for (std::sregex_iterator it{truth.begin(), truth.end(), pattern}, end; it != end; ++it) {
      if ((*it)[1].matched) {
        const auto vcpu = static_cast<std::uint32_t>(std::stoul((*it)[1]));
        saved = driver.register_reader()->read_vcpu(VcpuId{vcpu});
        continue;
      }
      ASSERT_TRUE(saved) << saved.error().text;
      const std::string name = (*it)[2].matched ? (*it)[2] : (*it)[3];
      const auto reg = saved->layout().find(name);
      ASSERT_TRUE(reg) << name;
      const auto expected = name == "zero" ? std::nullopt : std::optional{std::stoull((*it)[4], nullptr, 16)};
      EXPECT_EQ(saved->get(*reg), expected) << name;
      ++compared;
    }
    EXPECT_EQ(compared, 2 * 33) << truth;
  }

  std::optional<QemuGuest> guest_;
};

TEST_F(RiscvDump, ElfCore_HasMemoryAndRegisters) {
  const auto driver = dump("elf");
  ASSERT_TRUE(driver) << driver.error().message();
  EXPECT_THAT((*driver)->access().map, HasSubstr("ELF core"));
  expect_same_memory(**driver);
  expect_same_registers(**driver);
}

/// QEMU does not name the machine in it.
TEST_F(RiscvDump, Kdump_HasMemoryAndRegisters) {
  const auto driver = dump("kdump-zlib");
  ASSERT_TRUE(driver) << driver.error().message();
  EXPECT_THAT((*driver)->access().map, HasSubstr("kdump file"));
  expect_same_memory(**driver);
  expect_same_registers(**driver);
}

} // namespace
} // namespace vmemfs::test
