// SPDX-License-Identifier: MIT
// Dumps that a real QEMU wrote, against what the same QEMU says of the guest's memory and registers.
#include "arch/x86_64/registers.h"
#include "drivers/dump/dump_driver.h"
#include "drivers/qemu_protocol/hmp_registers.h"
#include "support/qemu_guest.h"

#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using x86_64::Register;

constexpr std::uint64_t kMemory = 64 << 20;

class QemuDump : public testing::Test {
protected:
  QemuDump() { guest_.pause(); }

  std::string dump(const nlohmann::json& how) {
    std::string path = guest_.dir() / fmt::format("dump{}", ++dumps_);
    nlohmann::json arguments = how;
    arguments["protocol"] = "file:" + path;
    guest_.monitor().execute("dump-guest-memory", arguments);
    return path;
  }

  /// All of the map, in pieces that cross its borders, against what QEMU saves.
  void expect_same_memory(Driver& driver) {
    for (const Region& region : driver.memory_map()->regions()) {
      const auto truth = guest_.pmemsave(region.range.begin.value(), region.range.size());
      std::vector<std::byte> bytes(truth.size());
      ReadPiece piece{region.range.begin, bytes, 0, {}};
      driver.read({&piece, 1});
      ASSERT_EQ(piece.done, bytes.size()) << fmt::format("{:#x}", region.range.begin.value());
      EXPECT_TRUE(bytes == truth) << fmt::format("{:#x}", region.range.begin.value());
    }
  }

  /// QEMU prints more registers than it saves: each that was saved is compared.
  void expect_same_registers(Driver& driver) {
    const auto truth = parse_info_registers(guest_.monitor().human("info registers -a"));
    ASSERT_TRUE(truth);
    ASSERT_EQ(driver.vcpus().size(), truth->size());
    for (std::uint32_t vcpu = 0; vcpu < truth->size(); ++vcpu) {
      const auto saved = driver.register_reader()->read_vcpu(VcpuId{vcpu});
      ASSERT_TRUE(saved);
      EXPECT_TRUE(saved->get(Register::cr3));
      for (std::size_t i = 0; i < saved->layout().size(); ++i) {
        const RegisterIndex reg{i};
        if (saved->get(reg) && (*truth)[vcpu].get(reg)) {
          EXPECT_EQ(saved->get(reg), (*truth)[vcpu].get(reg)) << vcpu << ' ' << saved->layout().name(reg);
        }
      }
    }
  }

  QemuGuest guest_{{.extra = {"-smp", "2"}}};

private:
  int dumps_ = 0;
};

TEST_F(QemuDump, ElfCore_HasMemoryAndRegisters) {
  const auto driver = DumpDriver::open(dump({{"paging", false}}));
  ASSERT_TRUE(driver) << driver.error().message();
  EXPECT_EQ((*driver)->memory_map()->ram_end(), Gpa{kMemory});
  EXPECT_THAT((*driver)->access().map, HasSubstr("ELF core of QEMU"));
  EXPECT_THAT((*driver)->probe(), testing::IsEmpty());
  expect_same_memory(**driver);
  expect_same_registers(**driver);
}

TEST_F(QemuDump, ElfCoreByPageTables_HasPhysicalAddresses) {
  const auto driver = DumpDriver::open(dump({{"paging", true}}));
  ASSERT_TRUE(driver) << driver.error().message();
  EXPECT_GE((*driver)->memory_map()->ram_bytes(), kMemory / 2);
  expect_same_memory(**driver);
  expect_same_registers(**driver);
}

TEST_F(QemuDump, FlattenedKdump_HasMemoryAndRegisters) {
  const std::string path = dump({{"paging", false}, {"format", "kdump-zlib"}});
  EXPECT_THAT(read_file(path), testing::StartsWith("makedumpfile"));
  const auto driver = DumpDriver::open(path);
  ASSERT_TRUE(driver) << driver.error().message();
  EXPECT_EQ((*driver)->memory_map()->ram_end(), Gpa{kMemory});
  EXPECT_THAT((*driver)->access().map, HasSubstr("kdump file of QEMU"));
  EXPECT_THAT((*driver)->probe(), testing::IsEmpty());
  EXPECT_GT((*driver)->read_cost().page.count(), 0);
  expect_same_memory(**driver);
  expect_same_registers(**driver);
}

TEST_F(QemuDump, CutKdump_GivesWhatIsThere) {
  const std::string path = dump({{"paging", false}, {"format", "kdump-zlib"}});
  const std::string whole = read_file(path);
  // Pages are stored in the order of their addresses; more of them, and more cuts, take long under a
  // sanitizer.
  const auto truth = guest_.pmemsave(0, kMemory / 8);
  std::size_t opened = 0;
  std::size_t incomplete = 0;
  for (std::size_t size = 16; size < whole.size(); size += whole.size() / 12) {
    write_file(path, std::string_view{whole}.substr(0, size));
    const auto driver = DumpDriver::open(path);
    if (!driver) {
      EXPECT_THAT(driver.error().text, HasSubstr("cut off within its")) << size;
      continue;
    }
    ++opened;
    EXPECT_EQ((*driver)->probe().size(), 1U) << size;
    std::vector<std::byte> bytes(truth.size());
    ReadPiece piece{Gpa{0}, bytes, 0, {}};
    (*driver)->read({&piece, 1});
    if (piece.done < bytes.size()) {
      EXPECT_TRUE(piece.failure == ErrorKind::bad_page || piece.failure == ErrorKind::hole) << size;
      ++incomplete;
    }
    EXPECT_EQ(std::memcmp(truth.data(), bytes.data(), piece.done), 0) << size;
  }
  EXPECT_GT(opened, 0U);
  EXPECT_GT(incomplete, 0U);
}

TEST_F(QemuDump, PartOfMemory_IsWhereItBelongs) {
  const auto driver = DumpDriver::open(dump({{"paging", false}, {"begin", 0x100000}, {"length", 0x200000}}));
  ASSERT_TRUE(driver) << driver.error().message();
  ASSERT_EQ((*driver)->memory_map()->regions().size(), 1U);
  EXPECT_EQ((*driver)->memory_map()->regions()[0].range, (GpaRange{Gpa{0x100000}, Gpa{0x300000}}));
  expect_same_memory(**driver);
}

TEST_F(QemuDump, CutFile_GivesWhatIsThere) {
  const std::string path = dump({{"paging", false}});
  std::filesystem::resize_file(path, 32 << 20);
  const auto driver = DumpDriver::open(path);
  ASSERT_TRUE(driver) << driver.error().message();
  ASSERT_EQ((*driver)->probe().size(), 1U);
  EXPECT_THAT((*driver)->probe()[0].detail, HasSubstr("first missing guest physical address is 0x1ff"));
  std::vector<std::byte> bytes(4 << 20);
  ReadPiece piece{Gpa{30 << 20}, bytes, 0, {}};
  (*driver)->read({&piece, 1});
  EXPECT_EQ(piece.failure, ErrorKind::bad_page);
  const auto truth = guest_.pmemsave(30 << 20, piece.done);
  EXPECT_EQ(std::memcmp(truth.data(), bytes.data(), piece.done), 0);
}

} // namespace
} // namespace vmemfs::test
