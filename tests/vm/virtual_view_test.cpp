// SPDX-License-Identifier: MIT
// Guest memory by a vCPU's page tables, over tables that are written here.
#include "arch/x86_64/registers.h"
#include "vm/views/virtual_view.h"
#include "vm_fixture.h"

#include <algorithm>
#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <vector>

namespace vmemfs::test {
namespace {

using x86_64::Register;

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kLarge = 0x80;
constexpr std::uint64_t kKernel = 0xffff800000000000; ///< begin of the upper half

/// Tables of one top entry for each half, from 1 MiB on. 16 MiB of RAM with a hole at 12 MiB.
constexpr std::uint64_t kRoot = kMiB;
constexpr std::uint64_t kThird = kMiB + 0x1000;
constexpr std::uint64_t kSecond = kMiB + 0x2000;
constexpr std::uint64_t kPages = kMiB + 0x3000;

/// Tests do not depend on how fast they run.
constexpr ListLimits kNoTimeLimit{.time = std::chrono::hours{1}};

FakeOptions options() {
  FakeOptions options;
  options.size = 16 * kMiB;
  options.holes = {GpaRange{Gpa{12 * kMiB}, Gpa{13 * kMiB}}};
  options.bad = {GpaRange{Gpa{0x5000}, Gpa{0x6000}}};
  return options;
}

class VirtualViewTest : public testing::Test {
protected:
  VirtualViewTest() {
    for (std::uint64_t word = kRoot; word < kPages + kPageSize; word += sizeof word) {
      write(word, 0);
    }
    for (const unsigned half : {0U, 256U}) {
      write(kRoot + half * 8, kThird | kPresent);
    }
    write(kThird, kSecond | kPresent);
    write(kSecond, kPages | kPresent);
    set(Register::cr0, 0x80050033);
    set(Register::cr3, kRoot | 0x18);
    set(Register::cr4, 0x3506f0);
    set(Register::efer, 0xd01);
  }

  void write(std::uint64_t gpa, std::uint64_t value) const { fixture.write_word(gpa, value); }
  void map(std::uint64_t page, std::uint64_t gpa) const { write(kPages + page * 8, gpa | kPresent); }
  void set(Register reg, std::uint64_t value) const {
    const RegisterValue one{reg, value};
    ASSERT_TRUE(fixture.vm->guest().write_registers(VcpuId{0}, {&one, 1}));
  }
  /// The bytes as words; a failure is stored in `error`.
  std::vector<std::uint64_t> read(std::uint64_t address, std::size_t size) {
    const auto read = view.read(offset_of_virtual(address), size, scratch);
    error = read ? ErrorKind{} : read.error();
    std::vector<std::byte> bytes;
    for (const iovec& part : read ? scratch.data() : std::span<const iovec>{}) {
      const auto* begin = static_cast<const std::byte*>(part.iov_base);
      bytes.insert(bytes.end(), begin, begin + part.iov_len);
    }
    EXPECT_EQ(bytes.size(), read.value_or(0));
    std::vector<std::uint64_t> words(bytes.size() / sizeof(std::uint64_t));
    if (!words.empty()) {
      std::memcpy(words.data(), bytes.data(), words.size() * sizeof(std::uint64_t));
    }
    return words;
  }
  static void append_pattern(std::vector<std::uint64_t>& words, std::uint64_t gpa, std::size_t size) {
    for (std::uint64_t at = gpa; at < gpa + size; at += sizeof at) {
      words.push_back(fake_word(Gpa{at}));
    }
  }
  static std::vector<std::uint64_t> pattern(std::uint64_t gpa, std::size_t size) {
    std::vector<std::uint64_t> words;
    append_pattern(words, gpa, size);
    return words;
  }
  [[nodiscard]] std::ptrdiff_t register_reads() const {
    const auto calls = fixture.fake->calls();
    return std::ranges::count(calls, "read_registers");
  }

  VmFixture fixture{options(), {.writable = true}};
  VirtualView view{fixture.vm->guest(), VcpuId{0}};
  ReadScratch scratch;
  ErrorKind error{};
};

TEST(VirtualAddress, OffsetAndBack) {
  for (const std::uint64_t address : {0ULL, 0x00007fffffffffffULL, 0xffff800000000000ULL,
                                      0xff00000000000000ULL, ~0ULL, 0x00ffffffffffffffULL}) {
    EXPECT_EQ(virtual_address(offset_of_virtual(address)), address);
    EXPECT_LT(offset_of_virtual(address), 1ULL << 63U);
  }
  EXPECT_EQ(offset_of_virtual(0xffff800000000000), 0x7fff800000000000U);
}

TEST_F(VirtualViewTest, ScatteredPages_OneAnswerInBothHalves) {
  map(1, 9 * kMiB);
  map(2, 8 * kMiB);
  map(3, 8 * kMiB + kPageSize);
  std::vector<std::uint64_t> expected = pattern(9 * kMiB + 0xff0, 0x10);
  append_pattern(expected, 8 * kMiB, 2 * kPageSize);
  for (const std::uint64_t base : {std::uint64_t{0}, kKernel}) {
    EXPECT_EQ(read(base + 0x1ff0, 0x2010), expected);
    EXPECT_EQ(read(base + 0x1ff0, kMiB), expected) << "up to the first page that is not mapped";
    EXPECT_EQ(read(base + 0x3008, 8), pattern(8 * kMiB + kPageSize + 8, 8));
  }
}

TEST_F(VirtualViewTest, NotMapped_Hole) {
  map(1, 9 * kMiB);
  for (const std::uint64_t address : {0x0ULL, 0x2000ULL, 0x200000ULL, 0x8000000000ULL, 0x0000800000001000ULL,
                                      0x3fffffffffffffffULL, ~0ULL}) {
    EXPECT_TRUE(read(address, 8).empty());
    EXPECT_EQ(error, ErrorKind::hole) << std::hex << address;
  }
}

TEST_F(VirtualViewTest, MappedToWhatCannotBeRead_AsInMem) {
  map(0, 12 * kMiB); // a hole
  map(2, 1 << 30U);  // beyond main memory
  map(4, 0x5000);    // a bad page
  map(5, 12 * kMiB - kPageSize);
  map(6, 12 * kMiB);
  map(7, 0xfffffffffff000);
  for (const std::uint64_t page : {0U, 2U, 4U, 6U, 7U}) {
    EXPECT_TRUE(read(page * kPageSize, 8).empty()) << page;
    EXPECT_EQ(error, ErrorKind::hole) << page;
  }
  EXPECT_EQ(read(0x5000, 2 * kPageSize), pattern(12 * kMiB - kPageSize, kPageSize));
}

TEST_F(VirtualViewTest, TablesThatCannotBeRead_Hole) {
  write(kSecond + 8, (12 * kMiB) | kPresent);
  write(kThird + 8, (1ULL << 40U) | kPresent);
  for (const std::uint64_t address : {2 * kMiB, std::uint64_t{1} << 30U}) {
    EXPECT_TRUE(read(address, 8).empty());
    EXPECT_EQ(error, ErrorKind::hole);
  }
}

TEST_F(VirtualViewTest, SourceFails_SourceFailed) {
  map(0, 9 * kMiB);
  fixture.fault->fail_nth(FaultPoint::read, 1, ErrorKind::timed_out);
  EXPECT_TRUE(read(0, 8).empty());
  EXPECT_EQ(error, ErrorKind::source_failed);
}

TEST_F(VirtualViewTest, MebibyteOfSmallPages_FewCallsOfTheDriver) {
  for (std::uint64_t page = 0; page < 256; ++page) {
    map(page, 10 * kMiB + (page ^ 1U) * kPageSize);
  }
  const auto before = fixture.metrics->metrics().reads;
  const auto words = read(0, 2 * kMiB);
  EXPECT_EQ(words.size(), kMiB / 8);
  EXPECT_EQ(words[kPageSize / 8], fake_word(Gpa{10 * kMiB}));
  EXPECT_EQ(fixture.metrics->metrics().reads - before, 5U) << "four tables, and all pages at once";
}

TEST_F(VirtualViewTest, LargePages_AreOneRange) {
  write(kSecond + 3 * 8, (8 * kMiB) | kLarge | kPresent);
  const auto before = fixture.metrics->metrics().pieces;
  EXPECT_EQ(read(6 * kMiB + kMiB / 2, kMiB), pattern(8 * kMiB + kMiB / 2, kMiB));
  EXPECT_EQ(fixture.metrics->metrics().pieces - before, 4U);
}

/// Every address is mapped to the one page of tables.
TEST_F(VirtualViewTest, TablesThatPointToThemselves_Bounded) {
  for (std::uint64_t index = 0; index < 512; ++index) {
    write(kRoot + index * 8, kRoot | kPresent);
  }
  const auto before = fixture.metrics->metrics();
  for (const std::uint64_t address : {std::uint64_t{0}, kKernel, std::uint64_t{0} - kMiB}) {
    const auto words = read(address, 4 * kMiB);
    EXPECT_EQ(words.size(), kMiB / 8);
    EXPECT_TRUE(std::ranges::all_of(words, [](std::uint64_t word) { return word == (kRoot | kPresent); }));
  }
  EXPECT_LE(fixture.metrics->metrics().bytes - before.bytes, 3 * (kMiB + 10 * kPageSize));
}

TEST_F(VirtualViewTest, PagingIsOff_IdentityBelow4GiB) {
  set(Register::cr0, 0x60000010);
  EXPECT_EQ(read(9 * kMiB, kMiB), pattern(9 * kMiB, kMiB));
  EXPECT_TRUE(read(1ULL << 32U, 8).empty());
  EXPECT_TRUE(read(kKernel, 8).empty());
}

TEST_F(VirtualViewTest, OtherModes_FollowTheRegisters) {
  set(Register::cr4, 0x20);
  set(Register::efer, 0x800);
  write(kRoot + 0x18 + 8, kSecond | kPresent); // PAE: cr3 has bits 3 and 4 as flags
  write(kRoot + 8, kSecond | kPresent);
  write(kSecond + 3 * 8, (8 * kMiB) | kLarge | kPresent);
  EXPECT_EQ(read((1U << 30U) + 6 * kMiB, 64), pattern(8 * kMiB, 64));
  set(Register::cr4, 0x10);
  write(kRoot + 8, (4 * kMiB) | kLarge | kPresent); // 32-bit: entry 2
  EXPECT_EQ(read(8 * kMiB + 0x1000, 64), pattern(4 * kMiB + 0x1000, 64));
  EXPECT_TRUE(read(12 * kMiB, 8).empty());
}

TEST_F(VirtualViewTest, RunningGuest_RegistersAndTablesOfEachRead) {
  map(0, 9 * kMiB);
  EXPECT_EQ(read(0, 8), pattern(9 * kMiB, 8));
  const auto before = register_reads();
  map(0, 10 * kMiB);
  EXPECT_EQ(read(0, 8), pattern(10 * kMiB, 8));
  set(Register::cr3, kThird);
  EXPECT_TRUE(read(0, 8).empty());
  EXPECT_EQ(register_reads() - before, 2);
}

TEST_F(VirtualViewTest, PausedGuest_RegistersOncePerEpoch) {
  map(0, 9 * kMiB);
  ASSERT_TRUE(fixture.vm->run_state().pause());
  const auto before = register_reads();
  EXPECT_EQ(read(0, 8), pattern(9 * kMiB, 8));
  EXPECT_EQ(read(8, 8), pattern(9 * kMiB + 8, 8));
  EXPECT_EQ(register_reads() - before, 1);
  set(Register::cr0, 0x60000010);
  EXPECT_EQ(read(0, 8), pattern(0, 8)) << "a register was written";
  EXPECT_EQ(register_reads() - before, 2);
  ASSERT_TRUE(fixture.vm->run_state().resume());
  EXPECT_EQ(read(0, 8), pattern(0, 8));
  EXPECT_EQ(read(0, 8), pattern(0, 8));
  EXPECT_EQ(register_reads() - before, 4);
}

TEST_F(VirtualViewTest, VmOrVcpuGone_Fails) {
  map(0, 9 * kMiB);
  VirtualView second{fixture.vm->guest(), VcpuId{1}};
  EXPECT_EQ(second.read(0, 8, scratch).error(), ErrorKind::vcpu_gone);
  ASSERT_TRUE(fixture.vm->run_state().pause());
  EXPECT_FALSE(read(0, 8).empty()); // the registers are known from now on
  fixture.fake->die();
  EXPECT_TRUE(read(0, 8).empty());
  EXPECT_EQ(error, ErrorKind::vm_gone);
}

TEST_F(VirtualViewTest, PausedGuest_VcpuUnplugged_Fails) {
  map(0, 9 * kMiB);
  ASSERT_TRUE(fixture.vm->run_state().pause());
  EXPECT_FALSE(read(0, 8).empty()); // the registers are known from now on
  fixture.fake->set_vcpus(VcpuSet::of({VcpuId{1}}, "test").value());
  EXPECT_TRUE(read(0, 8).empty());
  EXPECT_EQ(error, ErrorKind::vcpu_gone);
}

TEST_F(VirtualViewTest, MappedRanges_AreThoseOfTheTables) {
  map(1, 9 * kMiB);
  map(2, 9 * kMiB + kPageSize);
  const auto ranges = view.mapped_ranges(kNoTimeLimit);
  ASSERT_TRUE(ranges);
  const PageRights rights{.write = false, .user = false, .execute = true};
  EXPECT_EQ(*ranges,
            (std::vector<MappedRange>{{0x1000, 0x2fff, true, rights, Gpa{9 * kMiB}},
                                      {kKernel + 0x1000, kKernel + 0x2fff, true, rights, Gpa{9 * kMiB}}}));
  fixture.fault->fail_nth(FaultPoint::read, 1);
  EXPECT_EQ(view.mapped_ranges(kNoTimeLimit).error().kind, ErrorKind::source_failed) << "the root";
  fixture.fault->fail_nth(FaultPoint::read, 2);
  const auto partial = view.mapped_ranges(kNoTimeLimit);
  ASSERT_TRUE(partial);
  EXPECT_EQ(*partial, (std::vector<MappedRange>{{0, (1ULL << 39U) - 1, false}, ranges->back()}));
  fixture.fake->die();
  EXPECT_EQ(view.mapped_ranges(kNoTimeLimit).error().kind, ErrorKind::vm_gone);
}

class NoRegisters : public ForwardingDriver {
public:
  using ForwardingDriver::ForwardingDriver;
  RegisterReader* register_reader() override { return nullptr; }
  RegisterWriter* register_writer() override { return nullptr; }
};

TEST_F(VirtualViewTest, Check_NeedsRegisters) {
  EXPECT_TRUE(VirtualView::check(fixture.vm->guest()));
  const VmFixture none{{}, {}, {}, [](std::unique_ptr<Driver> inner) -> std::unique_ptr<Driver> {
                         return std::make_unique<NoRegisters>(std::move(inner));
                       }};
  const auto checked = VirtualView::check(none.vm->guest());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, ErrorKind::unsupported);
}

} // namespace
} // namespace vmemfs::test
